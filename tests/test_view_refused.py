"""What vlt view refuses, in one sentence: odd addresses, other files, other hosts, foreign writes."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.viewed import Site, cards, grid, rows_of, sentence, zebra


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/d/nothing", 404, "no dataset &#39;nothing&#39;"),
        ("/d/samples@v9", 404, "no version"),
        ("/d/samples@x", 400, "does not name a dataset"),
        ("/d/samples?sort=colour", 400, "no column &#39;colour&#39;"),
        ("/d/samples?is.colour=red", 400, "no column &#39;colour&#39;"),
        ("/d/samples/row/none", 404, "no row with the id"),
        ("/d/samples/path/none", 200, ""),
        ("/d/samples/text?id=none", 404, "no such response"),
        ("/image/none", 404, "is not the sha256 of an image"),
        ("/image/" + "0" * 64, 404, "import its source again"),
        ("/thumb/" + "0" * 64, 404, "import its source again"),
        ("/nothing", 404, "there is no such page"),
        ("/mark", 405, "there is no such page"),
    ],
)
def test_what_is_not_there(site: Site, path: str, status: int, says: str) -> None:
    answer = site.get(path)
    assert answer.status == status
    assert "Traceback" not in answer.text
    if says:
        assert says in sentence(answer)


@pytest.mark.parametrize("page", ["0", "-1", "x", "1.5", "٣", "9" * 30, "9" * 6000, "%00", ""])
def test_odd_pages_are_a_page(site: Site, page: str) -> None:
    answer = site.get(f"/d/samples?page={quote(page)}")
    assert answer.status == 200 and rows_of(answer) == 60


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/d/",
            "/d/%00",
            "/d/samples%00",
            "/d/@v1",
            "/d/%2e%2e",
            "/d/%2e%2e%2f%2e%2e",
            "/d/a@b@c",
        ),
        *("/d/samples@v" + "9" * 5000, "/d/samples/row/", "/d/samples/row/%00?sample=%00&at=-1"),
        *("/d/samples/row/'?at=99999999999999&sample=9999999999", "/d/samples/find?id=%27%25%ff"),
        *("/d/samples/find?id=%00", "/d/samples/text?id=%27;--&sample=x", "/d/samples?is.=x"),
        *("/d/samples?is.sample=x&is.images=y", "/d/samples?sort=images&down=1"),
        *("/d/samples?q=%ff%00'%22%5c", "/d/samples?where=%ff", "/d/samples?where=%00&page=0"),
        *("/d/samples?dropped=1&is.reason=x", "/d/samples?sort=%22", "/?a=b", "//", "/%ff"),
        *("/d/samples?q=" + "x" * 8000, "/d/samples?where=" + "(" * 8000, "/datasets?page=x"),
    ],
)
def test_odd_addresses_never_break_it(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status in (200, 307, 400, 404), answer.text
    assert "Traceback" not in answer.text and "Internal Server Error" not in answer.text


@pytest.mark.parametrize(
    "where",
    [
        *(
            "colour = 1",
            "sample =",
            "1; drop table x",
            "sample = 0; select 1",
            ")",
            "sample = 0) or (1=1",
        ),
        *("count(*) > 1", "error('no')", "sample + 'x' = 2", "select 1"),
        "id in (select content from read_text('{file}'))",
        "exists (select 1 from read_csv('{file}'))",
        "exists (select 1 from '{file}')",
        "exists (select 1 from read_blob('{file}'))",
        "exists (select 1 from glob('/etc/*') where file like '%passwd')",
        "exists (select 1 from read_parquet('{other}'))",
        "exists (select 1 from parquet_metadata('{other}'))",
        "exists (select 1 from sniff_csv('{file}'))",
        "id in (select id from table)",
        "exists (select 1 from rows)",  # a variable of the Python that runs the query
        "exists (select 1 from http_get('http://127.0.0.1'))",
        "getenv('HOME') is not null",
        "attach '{file}' as x",
        "copy (select 1) to '{file}'",
        "install httpfs",
        "load httpfs",
        "pragma database_list",
        "set enable_external_access = true",
        "set temp_directory = '/tmp'",
    ],
)
def test_conditions_that_are_refused(site: Site, tmp_path: Path, where: str) -> None:
    """Text that is not a condition, and conditions that would read or write other files."""
    file = tmp_path / "secret.csv"
    file.write_text("secret\n")
    other = next((site.workspace / "datasets" / "items").glob("v1/part-*.parquet"))
    answer = grid(site, where=where.format(file=file, other=other))
    assert answer.status == 200 and cards(answer) == []
    assert "does not fit samples@v1" in sentence(answer)
    assert rows_of(answer) == 0
    assert file.read_text() == "secret\n"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/static/../app.py",
            "/static/%2e%2e/app.py",
            "/static/..%2fapp.py",
            "/static//etc/passwd",
        ),
        *("/static/%2e%2e%2f%2e%2e%2f__init__.py", "/static/katex/../../app.py", "/static/"),
        *("/image/../workspace.json", "/image/..%2fworkspace.json", "/image/%2fetc%2fpasswd"),
        *("/d/../workspace.json", "/d/..%2f..%2fetc%2fpasswd", "/thumb/..%2f..%2fworkspace.json"),
        *("/d/items/row/..%2f..%2fworkspace.json", "/workspace.json", "/datasets/../flags.parquet"),
    ],
)
def test_files_outside_are_not_given(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status in (400, 404)
    assert (
        "import" not in answer.text and "root:" not in answer.text and "format" not in answer.text
    )


def test_a_link_in_the_static_folder_is_all_that_is_served(site: Site) -> None:
    katex = site.get("/static/katex/katex.min.js")
    assert katex.status == 200 and len(katex.text) > 100_000
    assert site.get("/static/view.css").headers["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "", "[::1]:{port}"]
)
def test_other_hosts_are_refused(site: Site, host: str) -> None:
    answer = site.get("/datasets", Host=host.format(port=site.port))
    assert answer.status == 400 and "items" not in answer.text


def test_this_machine_is_answered_with_guarded_pages(site: Site) -> None:
    answer = site.get("/datasets", Host=f"localhost:{site.port}")
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_writes_need_the_token_and_this_origin(site: Site) -> None:
    token = site.token
    fields = {"dataset": "samples@v1", "id": zebra(site), "sample": "0", "mark": "flag"}
    other = {"Origin": "http://evil.example"}
    for bad in ({}, {"token": ""}, {"token": token + "x"}, {"token": "é"}):
        answer = site.post("/mark", fields | bad)
        assert answer.status == 403 and "reload it" in sentence(answer)
    assert site.post("/mark", fields | {"token": token}, **other).status == 400
    assert site.post("/mark", fields | {"token": token}, Origin="null").status == 400
    assert site.post("/datasets", fields | {"token": token}).status == 405
    for wrong in (
        *({"mark": "delete"}, {"mark": ""}, {"id": ""}, {"sample": "x"}, {"sample": "9" * 5000}),
        *({"dataset": "../x"}, {"dataset": ""}, {"id": "none"}),
    ):
        assert site.post("/mark", fields | {"token": token} | wrong).status in (400, 403, 404)
    assert site.post("/mark", fields | {"token": token, "note": "x" * 200_000}).status == 400
    assert not (site.workspace / "flags.parquet").exists()
    own = {"Origin": site.address}
    assert (
        site.post("/mark", fields | {"token": token, "back": "//evil.example"}, **own)
        .headers["location"]
        .startswith("/d/samples%40v1/row/")
    )
    assert site.post("/mark", fields | {"token": token, "mark": "none"}, **own).status == 303


def test_a_body_without_a_length_is_bounded_too(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as opened:
        head = f"POST /mark HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        opened.sendall(head.encode())
        chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
        opened.sendall(chunk * 2)
        assert b" 400 " in opened.recv(100)
