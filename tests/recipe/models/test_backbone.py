from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, GPT2Config

from recipe.models.backbone import BackboneError, build_backbone, load_backbone


def test_a_saved_backbone_loads_in_fp32_with_the_same_weights(network, kind, tmp_path):
    saved = network(kind).backbone
    saved.half().save_pretrained(tmp_path)
    loaded = load_backbone(str(tmp_path))
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    expected = saved.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor.half(), expected[name].half())


def test_dropout_reaches_every_dropout_module(network, kind):
    for probability in (0.0, 0.3):
        found = {m.p for m in network(kind, dropout=probability).modules() if isinstance(m, torch.nn.Dropout)}
        assert found == {probability}


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


def test_bart_decodes_from_the_tokenizers_own_special_tokens(network):
    config = network("bart").backbone.config
    assert (config.decoder_start_token_id, config.pad_token_id, config.vocab_size) == (2, 1, 64)
    assert AutoConfig.for_model("bart").vocab_size != 64
