"""RMS normalization in a decoder: a small Llama (Touvron et al. 2023, arXiv:2302.13971)."""

from torch import Tensor, nn
from torch.nn import functional as F

from models import next_character
from models.data.text import VOCABULARY
from models.recipe import Supervised
from models.scene import Scene
from models.transformer import Angles, Rotate, SelfAttention, rotation

FEATURES, HEADS, LAYERS, DROPOUT = 64, 4, 4, 0.2
GATED = 176
"""The width of the gated network, 8/3 of the features as in the paper, rounded."""
EPS = 1e-6


class GatedNetwork(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(FEATURES, GATED, bias=False)
        self.up = nn.Linear(FEATURES, GATED, bias=False)
        self.down = nn.Linear(GATED, FEATURES, bias=False)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, features) to the same."""
        y: Tensor = self.dropout(self.down(F.silu(self.gate(x)) * self.up(x)))
        return y


class Block(nn.Module):
    """Attention and a gated network, each behind its RMS normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(FEATURES, eps=EPS)
        self.attention = SelfAttention(FEATURES, HEADS, causal=True, bias=False, dropout=DROPOUT)
        self.network_norm = nn.RMSNorm(FEATURES, eps=EPS)
        self.network = GatedNetwork()

    def forward(self, x: Tensor, rotate: Rotate) -> Tensor:
        """(batch, length, features) to the same."""
        x = x + self.attention(self.attention_norm(x), rotate=rotate)
        y: Tensor = x + self.network(self.network_norm(x))
        return y


class Llama(nn.Module):
    """Embedding, four blocks, a last RMS normalization, a head of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, FEATURES)
        self.angles = Angles(FEATURES // HEADS)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.RMSNorm(FEATURES, eps=EPS)
        self.head = nn.Linear(FEATURES, VOCABULARY, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Predict the next character at each position.

        Args:
            tokens: (batch, length) int64 in 0 ... 96.

        Returns:
            Logits (batch, length, 97).
        """
        rotate = rotation(self.angles(tokens.shape[1]))
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, rotate)
        logits: Tensor = self.head(self.norm(x))
        return logits


SCENE = Scene(
    name="llama",
    title="gated decoder that continues text",
    normalization="RMSNorm",
    task="next-character prediction",
    notes=next_character.notes(
        "Llama with four blocks, 64 features, 4 heads, rotary positions, SwiGLU, RMSNorm"
    ),
    build=Llama,
    input_names=("tokens",),
    output_names=("logits",),
    example_inputs=lambda: next_character.real(start=0, items=3, length=40),
    reference_inputs=lambda: [
        next_character.real(start=1000, items=1, length=17),
        next_character.real(start=2000, items=2, length=96),
        next_character.real(start=3000, items=8, length=64),
    ],
    dynamic_shapes={"tokens": {0: "batch", 1: "length"}},
    test_set=next_character.held_out,
    metric=next_character.BITS,
    other_metrics=(next_character.ACCURACY,),
    baselines=next_character.BASELINES,
    recipe=Supervised(
        seed=1,
        steps=700,
        batch_size=32,
        learning_rate=3e-3,
        weight_decay=0.1,
        draw=next_character.draw,
        loss=next_character.loss,
    ),
)
