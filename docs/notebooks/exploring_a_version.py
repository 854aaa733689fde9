# %% [markdown]
# # Exploring a version
#
# A version consists of Parquet files and a manifest, so the tools you already use can read it. This notebook
# generates a few samples with the tiny models that come with vlt, explores them with pandas, DuckDB and
# Matplotlib, and fixes a filter that dropped too much.

# %%
from pathlib import Path

import pandas as pd

import vlt
from vlt.datagen.miniature.world import records

MINIATURE = Path(vlt.__file__).parent / "recipes" / "miniature"
ws = vlt.Workspace("workspace")

# %% [markdown]
# ## Samples to look at
#
# Sixty synthetic images with one question each, captioned by one tiny model and answered four times by
# another. With a workspace of your own, this cell is `graded = ws["samples"]`.

# %%
Path("img").mkdir(exist_ok=True)
rows = []
for n, drawn in enumerate(records(60, split="train", seed=7, families={"shapes-count": 1})):
    Path(f"img/{n}.png").write_bytes(drawn["images"][0])
    rows.append({"image": f"img/{n}.png", "question": drawn["question"], "answer": drawn["answer"]})
pd.DataFrame(rows).to_json("questions.jsonl", orient="records", lines=True)

items = ws.import_items("questions.jsonl")
captions = ws.caption(
    items, vlt.Model(str(MINIATURE / "vlm")), prompt="Describe the picture.", max_tokens=40
)
samples = ws.reason(
    captions,
    vlt.Model(str(MINIATURE / "reasoner")),
    k=4,
    prompt="{caption} {question} Think first.",
    max_tokens=64,
    seed=1,
)
graded = ws.filter(samples, ["grade"], name="graded")
graded  # noqa: B018

# %% [markdown]
# ## pandas
#
# `to_pandas()` returns all columns. Images are SHA-256 hashes; `graded.image(sha256)` opens one.

# %%
frame = graded.to_pandas()
frame.groupby("verdict")["completion_tokens"].describe()[["count", "mean", "min", "max"]]

# %% [markdown]
# Which items are worth sampling again? An item that is sometimes solved teaches more than one that is
# always or never solved.

# %%
rate = frame.assign(right=frame["verdict"] == "correct").groupby("id")["right"].mean()
rate.value_counts().sort_index().rename("items").to_frame()

# %% [markdown]
# The folder contains plain Parquet files, so they can be read without vlt:

# %%
pd.read_parquet(graded.path, columns=["question", "answer", "predicted", "verdict"]).head(3)

# %% [markdown]
# ## DuckDB
#
# `sql` runs a query in DuckDB; the version's rows are the table `rows`.

# %%
graded.sql("""
    select answer as gold, predicted, count(*) as samples
    from rows where verdict = 'wrong'
    group by all order by samples desc limit 5
""")

# %% [markdown]
# ## A plot

# %%
import matplotlib.pyplot as plt  # noqa: E402

figure, axes = plt.subplots(figsize=(6, 2.6))
for verdict, group in frame.groupby("verdict"):
    axes.hist(group["completion_tokens"], bins=range(0, 65, 4), alpha=0.6, label=verdict)
axes.set_xlabel("tokens of the response")
axes.set_ylabel("samples")
axes.legend()

# %% [markdown]
# ## Images
#
# An item that was never solved, with its caption:

# %%
never = rate[rate == 0].index
hard = frame[frame["id"].isin(never)].iloc[0] if len(never) else frame.iloc[0]
print(hard["question"], "| gold:", hard["answer"], "| said:", hard["predicted"])
print(hard["caption"])
graded.image(hard["images"][0]).resize((252, 168), resample=0)

# %% [markdown]
# ## A filter that drops too much
#
# A filter is a function of a row. This one should keep the responses that scan the whole image, and drop
# those that only glance at it. A scan of six cells has 22 words:


# %%
@vlt.filter
def whole_scan(row):
    return len(row["reasoning"].split()) >= 22 or "too short for a scan"


first = ws.filter(graded, ["correct", whole_scan], name="scans")
first.dropped.to_pandas().groupby(["filter", "reason"]).size().rename("rows").to_frame()

# %% [markdown]
# Dropped rows are stored as well, so a wrong rule can be found:

# %%
dropped = first.dropped.to_pandas()
dropped = dropped[dropped["filter"] == "whole_scan"]
for text in dropped["reasoning"].drop_duplicates().head(6):
    print("-", text)

# %% [markdown]
# An empty cell takes one word instead of two, so complete scans were dropped, too. Count the cells instead.
# The function's source code has changed, so the same call makes a new version; the old one stays as it is.


# %%
@vlt.filter
def whole_scan(row):
    return row["reasoning"].count(",") == 5 or "scans fewer than six cells"


second = ws.filter(graded, ["correct", whole_scan], name="scans")
print(f"{first.ref}: {len(first)} rows, {second.ref}: {len(second)} rows")
gained = second.to_pandas()
gained = gained[~gained["response"].isin(first.to_pandas()["response"])]
gained[["question", "answer", "response"]].head(3)

# %% [markdown]
# A version records what it was made from, and how:

# %%
print(" <- ".join(version.ref for version in second.lineage()))
pd.Series(second.manifest.parameters["chain"])
