from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, GPT2Config, RobertaForMaskedLM

from recipe.models.backbone import GENERATION_TOKENS, BackboneError, build_backbone, load_backbone


def test_a_saved_backbone_loads_in_fp32_with_the_same_weights(network, kind, tmp_path):
    saved = network(kind).backbone
    tokens = {key: getattr(saved.config, key) for key in GENERATION_TOKENS}  # saving takes some out of it
    saved.half().save_pretrained(tmp_path)
    loaded = load_backbone(str(tmp_path))
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    expected = saved.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor.half(), expected[name].half())
    trained = [[name for name, p in model.named_parameters() if p.requires_grad] for model in (saved, loaded)]
    assert trained[0] == trained[1]
    assert {key: getattr(loaded.config, key) for key in GENERATION_TOKENS} == tokens


def test_the_papers_own_weights_load_from_the_pickle_that_the_hub_has(network, tmp_path):
    """facebook/muppet-roberta-base: RobertaForMaskedLM's old names and file format, nothing else."""
    backbone = network("roberta").backbone
    released = RobertaForMaskedLM(backbone.config)
    released.roberta.load_state_dict(backbone.state_dict())
    released.config.save_pretrained(tmp_path)
    weights = {**released.state_dict(), "roberta.embeddings.position_ids": torch.arange(66)[None]}
    torch.save(weights, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    loaded = load_backbone(str(tmp_path)).state_dict()
    assert loaded.keys() == backbone.state_dict().keys()
    assert all(torch.equal(value, loaded[name]) for name, value in backbone.state_dict().items())


def test_code_in_a_pickle_of_weights_is_refused_and_not_run(network, tmp_path):
    class Code:
        def __reduce__(self):
            return (tmp_path / "run").touch, ()

    network("roberta").backbone.config.save_pretrained(tmp_path)
    torch.save({"roberta.embeddings.word_embeddings.weight": Code()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(BackboneError, match=str(tmp_path)):
        load_backbone(str(tmp_path))
    assert not (tmp_path / "run").exists()


def test_dropout_reaches_every_dropout_module(network, kind):
    for probability in (0.0, 0.3):
        modules = list(network(kind, dropout=probability).modules())
        found = {m.p for m in modules if isinstance(m, torch.nn.Dropout)}
        names = ("dropout", "attention_dropout", "activation_dropout")
        functional = {getattr(m, name) for m in modules for name in names if isinstance(getattr(m, name, None), float)}
        assert found | functional == {probability}


def test_a_missing_folder_is_an_error_that_names_it_and_the_fix(tmp_path):
    with pytest.raises(BackboneError, match=r"nowhere.*model\.safetensors"):
        load_backbone(str(tmp_path / "nowhere"))


def test_a_kind_without_bidirectional_rows_is_refused(tmp_path):
    GPT2Config(n_layer=1, n_head=1, n_embd=8).save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match=r"gpt2.*roberta"):
        load_backbone(str(tmp_path))


def test_a_mistyped_option_is_refused_with_the_nearest_one(tokenizer):
    with pytest.raises(BackboneError, match=r"hiden_size.*hidden_size"):
        build_backbone({"model_type": "roberta", "hiden_size": 32}, tokenizer)


@pytest.mark.parametrize(("kind", "start"), [("bart", 2), ("pegasus", 1), ("t5", 1)])
def test_decoding_starts_from_the_tokenizers_own_last_token_or_padding(network, kind, start):
    config = network(kind).backbone.config
    assert (config.decoder_start_token_id, config.pad_token_id, config.vocab_size) == (start, 1, 64)
    assert AutoConfig.for_model(kind).vocab_size != 64
