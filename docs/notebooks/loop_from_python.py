# %% [markdown]
# # The loop from Python
#
# From a JSONL file of questions to an SFT checkpoint, with nothing but `import vlt`. It runs on two CPU cores
# with the tiny models that come with vlt; for your own models, change only the first cell.
#
#     python docs/notebooks/loop_from_python.py FOLDER
#
# or open it as a notebook (jupytext, VS Code): a version is displayed as a table with its images.

# %%
import json
import sys
from pathlib import Path

import vlt

HOME = Path(sys.argv[1] if sys.argv[1:] and "ipykernel" not in sys.modules else "from-python")
MINIATURE = Path(vlt.__file__).parent / "recipes" / "miniature"
vlm, reasoner = vlt.Model(str(MINIATURE / "vlm")), vlt.Model(str(MINIATURE / "reasoner"))
# A served model: vlt.Model("Qwen/Qwen2.5-VL-3B-Instruct", base_url="http://127.0.0.1:8000/v1")

# %% [markdown]
# ## Questions
#
# Each line has an image, a question and a gold answer. Here the images are drawn.

# %%
from vlt.datagen.miniature.world import records  # noqa: E402

(HOME / "img").mkdir(parents=True, exist_ok=True)
with open(HOME / "questions.jsonl", "w") as out:
    for n, drawn in enumerate(records(60, split="train", seed=7, families={"shapes-count": 1})):
        (HOME / "img" / f"{n}.png").write_bytes(drawn["images"][0])
        line = {
            "image": f"img/{n}.png",
            "question": drawn["question"],
            "answer": drawn["answer"],
        }
        out.write(json.dumps(line) + "\n")

# %%
ws = vlt.Workspace(HOME / "workspace")
items = ws.import_items(HOME / "questions.jsonl")
items  # a table with the pictures  # noqa: B018

# %% [markdown]
# ## Captions, then reasoning over them
#
# The prompts use the tiny models' vocabulary; leave them out for real models.

# %%
captions = ws.caption(items, vlm, prompt="Describe the picture.", max_tokens=40)
samples = ws.reason(
    captions,
    reasoner,
    k=4,
    prompt="{caption} {question} Think first.",
    temperature=1.0,
    max_tokens=64,
)

# %% [markdown]
# ## What is worth training on
#
# Filters are names with settings, or functions of a row: True keeps it, a string drops it and is the reason.


# %%
@vlt.filter
def looks_twice(row):
    return "circle" in row["response"] or "square" in row["response"] or "names no shape"


sft = ws.filter(samples, ["verify", {"select": "shortest"}, looks_twice])
print(sft.to_pandas()[["question", "answer", "response"]].head(3).to_string())
print(sft.dropped.sql("select filter, count(*) as rows from rows group by filter order by 1"))

# %%
first = sft.to_hf()[0]
print(first["images"][0].size, first["question"], "->", first["predicted"])

# %% [markdown]
# ## A checkpoint
#
# Any argument that is not a setting of vlt is a field of TRL's SFTConfig.

# %%
model = ws.train(
    "sft",
    sft,
    vlm,
    prompt=vlt.Prompt("{question} Think first."),
    freeze=["vision_tower"],
    learning_rate=5e-4,
    max_steps=4,
    per_device_train_batch_size=8,
)
scored = ws.evaluate(items, model, prompt="{question} Think first.", max_tokens=64, limit=20)
print(model.ref, model.path)
print("accuracy on 20 of the training questions:", scored.manifest.facts["accuracy"])
print(" <- ".join(version.ref for version in model.lineage()))
