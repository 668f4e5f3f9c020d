"""R3F: smooth the representation by making predictions agree under noise on the embeddings (arXiv 2008.03156)."""

from recipe.algorithms.r3f.r3f import R3F as R3F
from recipe.algorithms.r3f.r3f import embedding_noise as embedding_noise
from recipe.algorithms.r3f.r3f import find_token_embeddings as find_token_embeddings
from recipe.algorithms.r3f.r3f import symmetric_kl as symmetric_kl
from recipe.algorithms.r3f.r4f import R4F as R4F
from recipe.algorithms.r3f.r4f import add_spectral_norm as add_spectral_norm
from recipe.algorithms.r3f.r4f import find_projections as find_projections
from recipe.algorithms.r3f.r4f import remove_spectral_norm as remove_spectral_norm

__all__ = [
    "R3F",
    "R4F",
    "add_spectral_norm",
    "embedding_noise",
    "find_projections",
    "find_token_embeddings",
    "remove_spectral_norm",
    "symmetric_kl",
]
