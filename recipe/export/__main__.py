"""Checkpoint -> Hugging Face folder with heads.

    python -m recipe.export runs/roberta_base exported/roberta_base
    python -m recipe.export runs/roberta_base/checkpoints/best-rank0.pt exported/roberta_base --heads rte,copa

The folder holds what ``AutoModel.from_pretrained`` and ``AutoTokenizer.from_pretrained`` load, and beside it
heads.safetensors (every head's weights) and heads.json (the tasks and their labels). A run whose ``backbone.name`` is
such a folder starts from these weights and re-uses the heads of the tasks it shares.

Below it heads/<task>/ is a complete classifier, heads/commonsense/ scores choices and heads/mrc/ finds answers, as far
as transformers has a class that computes the same. They share the backbone's file, so all of them take no more room
than one. An encoder-decoder's export is itself the model that summarizes, AutoModelForSeq2SeqLM.
"""

from __future__ import annotations

from recipe.command_line import make_parser, user_errors
from recipe.export import export
from recipe.export.head_folders import describe_reasons


def main() -> None:
    parser = make_parser("python -m recipe.export", __doc__ or "")
    parser.add_argument("source", help="a run, runs/<name> (its best checkpoint, else the latest), or a checkpoint")
    parser.add_argument("folder", help="folder to write; must not exist")
    parser.add_argument("--heads", default="all", help="tasks whose heads get a folder, rte,cb; all (default), or none")
    arguments = parser.parse_args()
    named = {"all": None, "none": []}
    heads = named.get(arguments.heads, arguments.heads.split(","))
    with user_errors():
        exported = export(arguments.source, arguments.folder, heads)
    for line in describe_reasons(exported.reasons):
        print(f"only in heads.safetensors: {line}")
    if exported.unscored is not None:
        print(exported.unscored)
    print(f"written: {arguments.folder}. Load it with AutoModel.from_pretrained({arguments.folder!r})")


if __name__ == "__main__":
    main()
