"""Layer normalization in a decoder: a small GPT (Radford et al. 2019) over characters."""

from torch import Tensor, nn
from torch.nn import functional as F

from models import next_character
from models.data.text import VOCABULARY
from models.recipe import Supervised
from models.scene import Scene
from models.transformer import SelfAttention, Sinusoids

FEATURES, HEADS, LAYERS, DROPOUT = 64, 4, 4, 0.1
WIDENING = 4


class Block(nn.Module):
    """Attention and a small network, each behind its layer normalization ("pre-LN")."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(FEATURES)
        self.attention = SelfAttention(FEATURES, HEADS, causal=True, bias=True, dropout=DROPOUT)
        self.network_norm = nn.LayerNorm(FEATURES)
        self.network = nn.Sequential(
            nn.Linear(FEATURES, WIDENING * FEATURES),
            nn.GELU(approximate="tanh"),
            nn.Linear(WIDENING * FEATURES, FEATURES),
            nn.Dropout(DROPOUT),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, features) to the same."""
        x = x + self.attention(self.attention_norm(x))
        y: Tensor = x + self.network(self.network_norm(x))
        return y


class GPT(nn.Module):
    """Embedding, four blocks, a last layer normalization; the embedding is also the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, FEATURES)
        self.positions = Sinusoids(FEATURES)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(FEATURES)
        nn.init.normal_(self.embedding.weight, std=FEATURES**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Predict the next character at each position.

        Args:
            tokens: (batch, length) int64 in 0 ... 96.

        Returns:
            Logits (batch, length, 97).
        """
        x = self.embedding(tokens) * FEATURES**0.5 + self.positions(tokens.shape[1])
        return F.linear(self.norm(self.blocks(x)), self.embedding.weight)


SCENE = Scene(
    name="gpt",
    title="decoder that continues text",
    normalization="LayerNorm",
    task="next-character prediction",
    notes=next_character.notes(
        "GPT with four pre-LN blocks, 64 features, 4 heads, sinusoidal positions, tied embedding"
    ),
    build=GPT,
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
        steps=1200,
        batch_size=32,
        learning_rate=3e-3,
        weight_decay=0.1,
        draw=next_character.draw,
        loss=next_character.loss,
    ),
)
