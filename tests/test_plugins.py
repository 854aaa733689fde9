"""A user's functions by name: how they are found, their identity, and errors."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from vlt import plugins
from vlt.errors import UsageError
from vlt.plugins import beside, is_path, mark_of, of_function, resolve


def write(file: Path, text: str) -> Path:
    """Write a file of the user's."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(text))
    return file


def test_a_file_is_known_by_its_content_and_not_by_where_it_lies(tmp_path: Path) -> None:
    text = "def short(row):\n    return len(row['response']) < 10\n"
    one, two = write(tmp_path / "a/mine.py", text), write(tmp_path / "b/other.py", text)
    first, second = (resolve(f"{file}:short", "filter") for file in (one, two))
    assert first.object({"response": "yes"}) is True
    assert first.identity == second.identity == {"plugin": "short", **first.identity}
    assert not any("/" in value for value in first.identity.values())
    relative = resolve("a/mine.py:short", "filter", folder=tmp_path)
    assert relative.object is first.object
    write(one, text.replace("10", "20"))
    edited = resolve(f"{one}:short", "filter")
    assert edited.identity != first.identity
    assert edited.object({"response": "x" * 15}) is True


def test_an_edited_helper_is_another_version(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.py", "from helper import LIMIT\ndef f(row): return LIMIT\n")
    write(tmp_path / "helper.py", "LIMIT = 1\n")
    other = write(tmp_path / "b/mine.py", "from helper import LIMIT\ndef f(row): return LIMIT\n")
    write(tmp_path / "b/helper.py", "LIMIT = 2\n")
    first = resolve(f"{file}:f", "filter")
    assert first.object({}) == 1
    assert resolve(f"{other}:f", "filter").object({}) == 2  # another folder's helper
    write(tmp_path / "helper.py", "LIMIT = 3\n")
    second = resolve(f"{file}:f", "filter")
    assert second.object({}) == 3
    assert second.identity != first.identity
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize("name", ["train", "filters", "datagen", "recipes", "vlt", "json"])
@pytest.mark.parametrize("on_path", [True, False])
def test_names_of_ours_are_not_taken_for_the_users(
    tmp_path: Path, name: str, on_path: bool
) -> None:
    """In a folder that holds files called as our packages, with and without PYTHONPATH=. set."""
    for each in ("train", "filters", "datagen"):
        write(tmp_path / f"{each}.py", f"def f(row): return '{each} of mine'\n")
    (tmp_path / "recipes").mkdir()
    write(tmp_path / f"{name}.py", f"import vlt.errors\ndef f(row): return '{name} of mine'\n")
    code = f"""
        import sys
        sys.path = [p for p in sys.path if p]
        {'sys.path.insert(0, ".")' if on_path and name not in ("vlt", "json") else ""}
        from vlt.plugins import resolve
        print(resolve("{name}.py:f", "filter").object({{}}))
        import vlt.filters.registry, vlt.train, vlt.datagen
        print(vlt.filters.registry.FILTERS["verify"].__name__)
    """
    repository = Path(plugins.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split("\n")[:2] == [f"{name} of mine", "Verify"], done.stderr


def test_a_module_is_known_by_its_name_and_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "ours_only/__init__.py", "")
    write(tmp_path / "ours_only/rules.py", "def f(row): return True\n")
    found = resolve("ours_only.rules:f", "reward", folder=tmp_path)
    assert found.identity["plugin"] == "ours_only.rules:f"
    assert len(found.identity["sha256"]) == 64
    point = EntryPoint("nice", "ours_only.rules:f", "vlt.rewards")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(
        "importlib.metadata.entry_points",
        lambda group: [point] if group == "vlt.rewards" else [],
    )
    offered = resolve("nice", "reward")
    assert (offered.name, offered.identity) == ("nice", found.identity)
    with pytest.raises(UsageError, match="no filter is called 'nice'; there are verify, or name"):
        resolve("nice", "filter", {"verify": 1})


def test_registered_names_come_first() -> None:
    found = resolve("verify", "filter", {"verify": str})
    assert (found.object, found.identity) == (str, {})


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere.py:f", "does not exist"),
        ("mine.py:g", "the module has no 'g'; it has f"),
        ("mine.py:LIMIT", "is a value of type int; a filter is a function"),
        ("mine.py", "write file.py:name"),
        ("mine.py:", "write file.py:name"),
        (":f", "write file.py:name"),
        ("mine.py:not a name", "write file.py:name"),
        ("broken.py:f", r"SyntaxError: .* \(broken.py, line 2\)"),
        ("raises.py:f", r"ZeroDivisionError: division by zero \(raises.py, line 3\)"),
        ("deep.py:f", r"ZeroDivisionError: division by zero \(raises.py, line 3\)"),
        ("ends.py:f", r"SystemExit: usage \(ends.py, line 2\)"),
        (
            "lacks.py:f",
            r"ModuleNotFoundError: No module named 'no_such_thing' \(lacks.py, line 1\)",
        ),
        ("no.such.module:f", "No module named 'no'"),
        ("folder.py:f", "Is a directory"),
        ("verfy", "no filter is called 'verfy'; there are verify, or name a function of your own"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_one_sentence(
    tmp_path: Path, name: str, says: str
) -> None:
    write(tmp_path / "mine.py", "LIMIT = 1\ndef f(row): return True\n")
    write(tmp_path / "broken.py", "\ndef f(row) return\n")
    write(tmp_path / "raises.py", "def g(): return 1 / 0\n\ng()\n".replace("g()\n", "1 / 0\n"))
    write(tmp_path / "deep.py", "import raises\n")
    write(tmp_path / "ends.py", "import sys\nsys.exit('usage')\n")
    write(tmp_path / "lacks.py", "import no_such_thing\n")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(UsageError, match=says) as raised:
        resolve(name, "filter", {"verify": str}, folder=tmp_path)
    assert "\n" not in str(raised.value)


def test_paths_of_a_recipe_start_at_its_folder(tmp_path: Path) -> None:
    assert beside("./x.py:f", tmp_path) == f"{tmp_path / 'x.py'}:f"
    assert beside("/x.py:f", tmp_path) == "/x.py:f"
    assert beside("package.module:f", tmp_path) == "package.module:f"
    assert beside("verify", tmp_path) == "verify"
    assert (
        is_path("./x.py:f") and is_path("a.b:f") and not is_path("https://x") and not is_path("f")
    )


def test_a_decorated_function_behaves_as_before() -> None:
    @plugins.filter(columns=["response"], name="polite")
    def kind(row: dict[str, str]) -> bool:
        return "sorry" in row["response"]

    @plugins.reward
    def one(completions: list[str], **_: object) -> list[float]:
        return [1.0] * len(completions)

    assert kind({"response": "sorry"}) is True
    assert one(["a", "b"]) == [1.0, 1.0]
    mark, other = mark_of(kind), mark_of(one)
    assert mark and (mark.kind, mark.name, mark.columns) == ("filter", "polite", ("response",))
    assert other and (other.kind, other.columns) == ("reward", None)
    assert of_function(kind, "filter").name == "polite"


def test_a_function_of_a_module_is_known_as_on_the_command_line(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.py", "def f(row): return True\n")
    by_name = resolve(f"{file}:f", "filter")
    assert of_function(by_name.object, "filter").identity == by_name.identity


def limit_of(limit: int) -> object:
    """A filter that holds a value."""

    def short(row: dict[str, str]) -> bool:
        return len(row["response"]) < limit

    return short


def test_a_closure_is_known_by_what_it_holds() -> None:
    one, two, again = limit_of(1), limit_of(2), limit_of(1)
    digests = [of_function(f, "filter").identity["sha256"] for f in (one, two, again)]
    assert digests[0] == digests[2] != digests[1]
    with pytest.raises(UsageError, match="put the function into a file"):
        of_function(limit_of(object()), "filter")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is not a filter"):
        of_function(3, "filter")
