"""Ordinary networks, small: each row is its own, however the batch is folded on the way."""

import numpy as np

from tests.bundle.checks.texts import normal, parse

IMAGES = "(float[batch, 3, 16, 16] x)"
CHANNELS = {
    "scale": np.float32([1, 2, 0.5, 1.5]),
    "shift": np.float32([0, 1, -1, 0.5]),
    "mean": np.float32([0.1, 0.2, 0.3, 0.4]),
    "variance": np.float32([1, 2, 3, 0.5]),
}
SIZE = "size = Shape <start = 0, end = 1> (x)\n"
INTS = """
    m1 = Constant <value_ints = [-1]> ()
    i0 = Constant <value_ints = [0]> ()
    i1 = Constant <value_ints = [1]> ()
    i2 = Constant <value_ints = [2]> ()
    i4 = Constant <value_ints = [4]> ()
    i8 = Constant <value_ints = [8]> ()
"""


def recurrent(kind, gates, outputs):
    """A recurrence over (batch, time, channels), with transposes around it and a state of zeros."""
    return parse(
        f"""(float[batch, time, 4] x) => (float[batch, time, 4] y) {{
            {SIZE} {INTS}
            t = Transpose <perm = [1, 0, 2]> (x)
            shape = Concat <axis = 0> (i1, size, i4)
            state = ConstantOfShape <value = float[1] {{0.0}}> (shape)
            {outputs}
            flat = Squeeze (h, i1)
            y = Transpose <perm = [1, 0, 2]> (flat)
        }}""".replace("KIND", f"{kind} <hidden_size = 4>"),
        weights={
            "w": normal(1, gates * 4, 4),
            "r": normal(1, gates * 4, 4, seed=1),
            "b": normal(1, gates * 8, seed=2),
        },
    )


ORDINARY = {
    "a convolutional classifier": parse(
        f"""{IMAGES} => (float[batch, 10] y) {{
            c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w, b)
            r = Relu (c)
            p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)
            d = Conv <kernel_shape = [3, 3], strides = [2, 2], group = 2> (p, v)
            f = Flatten (d)
            y = Gemm <transB = 1> (f, u)
        }}""",
        weights={
            "w": normal(8, 3, 3, 3),
            "b": normal(8),
            "v": normal(8, 4, 3, 3),
            "u": normal(10, 72),
        },
    ),
    "batch normalization in eval mode before an activation": parse(
        """(float[batch, 4, 8, 8] x) => (float[batch, 4, 8, 8] y) {
            n = BatchNormalization (x, scale, shift, mean, variance)
            y = Relu (n)
        }""",
        weights=CHANNELS,
    ),
    "a residual network": parse(
        f"""{IMAGES} => (float[batch, 10] y) {{
            {INTS}
            a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w)
            n = BatchNormalization (a, scale, shift, mean, variance)
            r = Relu (n)
            c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r, v)
            s = Add (c, a)
            g = GlobalAveragePool (s)
            f = Reshape <allowzero = 0> (g, shape)
            y = MatMul (f, u)
        }}""",
        weights=CHANNELS
        | {
            "w": normal(4, 3, 3, 3),
            "v": normal(4, 4, 3, 3),
            "u": normal(4, 10),
            "shape": np.int64([0, -1]),
        },
    ),
    "squeeze and excite": parse(
        """(float[batch, 4, height, width] x) => (float[batch, 4, height, width] y) {
            axes = Constant <value_ints = [2, 3]> ()
            m = ReduceMean <keepdims = 1> (x, axes)
            a = Conv (m, w)
            s = HardSigmoid (a)
            y = Mul (x, s)
        }""",
        weights={"w": normal(4, 4, 1, 1)},
    ),
    "a U-Net": parse(
        f"""{IMAGES} => (float[batch, 2, 16, 16] y) {{
            a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w)
            n = GroupNormalization <num_groups = 2> (a, scale, shift)
            p = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (n)
            c = ConvTranspose <kernel_shape = [2, 2], strides = [2, 2]> (p, t)
            scales = Constant <value_floats = [1.0, 1.0, 2.0, 2.0]> ()
            r = Resize <mode = "linear"> (p, , scales)
            s = Concat <axis = 1> (a, c, r)
            y = Conv <kernel_shape = [1, 1]> (s, v)
        }}""",
        weights=CHANNELS
        | {"w": normal(4, 3, 3, 3), "t": normal(4, 4, 2, 2), "v": normal(2, 12, 1, 1)},
    ),
    "a U-Net that resizes to the size of its skip": parse(
        """(float[batch, 4, height, width] x) => (float[batch, 4, height, width] y) {
            p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
            whole = Shape (x)
            r = Resize <mode = "nearest"> (p, , , whole)
            y = Add (x, r)
        }"""
    ),
    "instance normalization": parse(
        """(float[batch, 4, length] x) => (float[batch, 4, length] y) {
            y = InstanceNormalization (x, scale, shift)
        }""",
        weights=CHANNELS,
    ),
    "adaptive instance normalization": parse(
        """(float[batch, 4, 8, 8] x, float[batch, 6] style) => (float[batch, 4, 8, 8] y) {
            axes = Constant <value_ints = [2, 3]> ()
            n = InstanceNormalization (x, scale, shift)
            s = MatMul (style, w)
            g, b = Split <axis = 1, num_outputs = 2> (s)
            g4 = Unsqueeze (g, axes)
            b4 = Unsqueeze (b, axes)
            m = Mul (n, g4)
            y = Add (m, b4)
        }""",
        weights=CHANNELS | {"w": normal(6, 8)},
    ),
    "group normalization by hand": parse(
        """(float[batch, 4, 8, 8] x) => (float[batch, 4, 8, 8] y) {
            s = Shape (x)
            groups = Constant <value_ints = [0, 2, -1]> ()
            g = Reshape (x, groups)
            axes = Constant <value_ints = [2]> ()
            m = ReduceMean (g, axes)
            d = Sub (g, m)
            q = Mul (d, d)
            v = ReduceMean (q, axes)
            e = Constant <value_float = 1e-5> ()
            ve = Add (v, e)
            sd = Sqrt (ve)
            n = Div (d, sd)
            y = Reshape (n, s)
        }"""
    ),
    "an LSTM": recurrent("LSTM", 4, "h, a, c = KIND (t, w, r, b, , state, state)"),
    "a GRU": recurrent("GRU", 3, "h, a = KIND (t, w, r, b, , state)"),
    "a recurrence both ways": parse(
        """(float[batch, time, 4] x) => (float[batch, time, 8] y) {
            t = Transpose <perm = [1, 0, 2]> (x)
            h = LSTM <hidden_size = 4, direction = "bidirectional"> (t, w, r)
            p = Transpose <perm = [2, 0, 1, 3]> (h)
            shape = Constant <value_ints = [0, 0, 8]> ()
            y = Reshape (p, shape)
        }""",
        weights={"w": normal(2, 16, 4), "r": normal(2, 16, 4, seed=1)},
    ),
    "a recurrence over lengths": parse(
        """(float[batch, 6, 4] x, int32[batch] mask) => (float[batch, 4] y) {
            t = Transpose <perm = [1, 0, 2]> (x)
            h, last = GRU <hidden_size = 4> (t, w, r, , mask)
            none = Constant <value_ints = [0]> ()
            y = Squeeze (last, none)
        }""",
        weights={"w": normal(1, 12, 4), "r": normal(1, 12, 4, seed=1)},
    ),
    "a recurrence written as a loop": parse(
        f"""(float[batch, 6, 4] x) => (float[batch, 6, 4] y) {{
            {SIZE} {INTS}
            shape = Concat <axis = 0> (size, i4)
            start = ConstantOfShape <value = float[1] {{0.0}}> (shape)
            count = Constant <value_int = 6> ()
            yes = Constant <value = bool {{1}}> ()
            end, steps = Loop (count, yes, start) <body = step
                (int64 i, bool go, float[batch, 4] h)
                => (bool on, float[batch, 4] n, float[batch, 4] o)
                {{
                    on = Identity (go)
                    row = Gather <axis = 1> (x, i)
                    m = MatMul (h, w)
                    s = Add (row, m)
                    n = Tanh (s)
                    o = Identity (n)
                }}>
            y = Transpose <perm = [1, 0, 2]> (steps)
        }}""",
        weights={"w": normal(4, 4)},
    ),
    "a recurrence written as a scan": parse(
        f"""(float[batch, 6, 4] x) => (float[batch, 6, 4] y) {{
            {SIZE} {INTS}
            shape = Concat <axis = 0> (size, i4)
            start = ConstantOfShape <value = float[1] {{0.0}}> (shape)
            end, y = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1],
                body = step (float[batch, 4] h, float[batch, 4] row)
                => (float[batch, 4] n, float[batch, 4] o)
                {{ s = Add (h, row) n = Tanh (s) o = Identity (n) }}> (start, x)
        }}"""
    ),
    "a scan that treats each row by itself": parse(
        """(float[batch, 4] x) => (float[batch, 4] y) {
            y = Scan <num_scan_inputs = 1, body = each (float[4] row) => (float[4] out)
                { s = Softmax (row) out = Add (s, row) }> (x)
        }"""
    ),
    "a transformer with a mask": parse(
        f"""(int64[batch, length] ids, int64[batch, length] mask) => (float[batch, length, 8] y) {{
            {INTS}
            size = Shape <start = 0, end = 1> (ids)
            n = Shape <start = 1, end = 2> (ids)
            e = Gather (table, ids)
            none = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            length = Squeeze (n, i0)
            places = Range (none, length, one)
            p = Gather (positions, places)
            x = Add (e, p)
            l = LayerNormalization (x, gain, bias)
            q = MatMul (l, wq)
            k = MatMul (l, wk)
            heads = Concat <axis = 0> (size, n, i2, i4)
            qh = Reshape (q, heads)
            kh = Reshape (k, heads)
            qt = Transpose <perm = [0, 2, 1, 3]> (qh)
            kt = Transpose <perm = [0, 2, 3, 1]> (kh)
            vt = Transpose <perm = [0, 2, 1, 3]> (kh)
            s = MatMul (qt, kt)
            m = Unsqueeze (mask, i1)
            m4 = Unsqueeze (m, i1)
            keep = Cast <to = 9> (m4)
            low = Constant <value_float = -1e9> ()
            sm = Where (keep, s, low)
            a = Softmax <axis = -1> (sm)
            o = MatMul (a, vt)
            ot = Transpose <perm = [0, 2, 1, 3]> (o)
            flat = Concat <axis = 0> (size, n, i8)
            f = Reshape (ot, flat)
            y = Add (x, f)
        }}""",
        weights={
            "table": normal(20, 8),
            "positions": normal(300, 8, seed=1),
            "gain": np.ones(8, np.float32),
            "bias": np.zeros(8, np.float32),
            "wq": normal(8, 8, seed=2),
            "wk": normal(8, 8, seed=3),
        },
    ),
    "heads folded into the batch": parse(
        f"""(float[batch, length, 8] x) => (float[batch, length, 8] y) {{
            {SIZE} {INTS}
            n = Shape <start = 1, end = 2> (x)
            heads = Concat <axis = 0> (size, n, i2, i4)
            h = Reshape (x, heads)
            t = Transpose <perm = [0, 2, 1, 3]> (h)
            folded = Mul (size, i2)
            shape = Concat <axis = 0> (folded, n, i4)
            f = Reshape (t, shape)
            k = Transpose <perm = [0, 2, 1]> (f)
            s = MatMul (f, k)
            a = Softmax <axis = -1> (s)
            o = MatMul (a, f)
            back = Concat <axis = 0> (size, i2, n, i4)
            u = Reshape (o, back)
            v = Transpose <perm = [0, 2, 1, 3]> (u)
            whole = Concat <axis = 0> (size, n, i8)
            y = Reshape (v, whole)
        }}"""
    ),
    "the attention operator, causal": parse(
        """(float[batch, length, 8] x) => (float[batch, length, 8] y) {
            q = MatMul (x, w)
            a = Attention <q_num_heads = 2, kv_num_heads = 2, is_causal = 1> (q, x, x)
            n = RMSNormalization (a, gain)
            y = Add (x, n)
        }""",
        weights={"w": normal(8, 8), "gain": np.ones(8, np.float32)},
    ),
    "attention as one equation": parse(
        """(float[batch, 2, length, 4] x) => (float[batch, 2, length, 4] y) {
            s = Einsum <equation = "bhid,bhjd->bhij"> (x, x)
            a = Softmax <axis = -1> (s)
            y = Einsum <equation = "bhij,bhjd->bhid"> (a, x)
        }"""
    ),
    "a bias of each head, repeated for each row": parse(
        f"""(float[batch, 6, 8] x) => (float[batch, 2, 6, 6] y) {{
            {SIZE} {INTS}
            n = Constant <value_ints = [6]> ()
            heads = Concat <axis = 0> (size, n, i2, i4)
            h = Reshape (x, heads)
            t = Transpose <perm = [0, 2, 1, 3]> (h)
            folded = Mul (size, i2)
            shape = Concat <axis = 0> (folded, n, i4)
            f = Reshape (t, shape)
            k = Transpose <perm = [0, 2, 1]> (f)
            s = MatMul (f, k)
            many = Concat <axis = 0> (size, i1, i1)
            bias = Tile (slopes, many)
            b = Add (s, bias)
            back = Concat <axis = 0> (size, i2, n, n)
            y = Reshape (b, back)
        }}""",
        weights={"slopes": normal(2, 6, 6)},
    ),
    "windows that are shifted": parse(
        f"""(float[batch, 8, 8, 4] x) => (float[batch, 8, 8, 4] y) {{
            {SIZE} {INTS}
            far = Constant <value_ints = [9223372036854775807]> ()
            head = Slice (x, i0, i2, i1)
            tail = Slice (x, i2, far, i1)
            rolled = Concat <axis = 1> (tail, head)
            cut = Concat <axis = 0> (size, i2, i4, i2, i4, i4)
            w = Reshape (rolled, cut)
            t = Transpose <perm = [0, 1, 3, 2, 4, 5]> (w)
            s16 = Constant <value_ints = [16]> ()
            windows = Concat <axis = 0> (m1, s16, i4)
            f = Reshape (t, windows)
            k = Transpose <perm = [0, 2, 1]> (f)
            s = MatMul (f, k)
            apart = Concat <axis = 0> (size, i4, s16, s16)
            s4 = Reshape (s, apart)
            masked = Add (s4, mask)
            together = Concat <axis = 0> (m1, s16, s16)
            s3 = Reshape (masked, together)
            a = Softmax <axis = -1> (s3)
            o = MatMul (a, f)
            uncut = Concat <axis = 0> (size, i2, i2, i4, i4, i4)
            u = Reshape (o, uncut)
            v = Transpose <perm = [0, 1, 3, 2, 4, 5]> (u)
            whole = Concat <axis = 0> (size, i8, i8, i4)
            y = Reshape (v, whole)
        }}""",
        weights={"mask": np.where(normal(1, 4, 16, 16) > 0, 0, -100).astype(np.float32)},
    ),
    "a class token and positions": parse(
        f"""{IMAGES} => (float[batch, 4] y) {{
            {SIZE} {INTS}
            p = Conv <kernel_shape = [4, 4], strides = [4, 4]> (x, w)
            shape = Constant <value_ints = [0, 4, -1]> ()
            f = Reshape (p, shape)
            t = Transpose <perm = [0, 2, 1]> (f)
            many = Concat <axis = 0> (size, m1, m1)
            minus = Equal (many, m1)
            ones = ConstantOfShape <value = int64[1] {{1}}> (three)
            sizes = Where (minus, ones, many)
            c = Expand (token, sizes)
            s = Concat <axis = 1> (c, t)
            q = Add (s, places)
            zero = Constant <value_int = 0> ()
            y = Gather <axis = 1> (q, zero)
        }}""",
        weights={
            "w": normal(4, 3, 4, 4),
            "token": normal(1, 1, 4),
            "places": normal(1, 17, 4),
            "three": np.int64([3]),
        },
    ),
    "one token for every frame, of which as many are taken as there are rows": parse(
        f"""(float[batch, 3, 4] x) => (float[batch, 4] y) {{
            {SIZE} {INTS}
            frames = Constant <value_ints = [-1, 1, 4]> ()
            each = Reshape (x, frames)
            count = Shape <start = 0, end = 1> (each)
            shape = Concat <axis = 0> (count, i1, i4)
            tokens = Expand (token, shape)
            with_token = Concat <axis = 1> (tokens, each)
            zero = Constant <value_int = 0> ()
            few = Slice (with_token, i0, size, i0)
            first = Gather <axis = 1> (few, zero)
            s = ReduceMax <keepdims = 0> (x, i1)
            y = Add (s, first)
        }}""",
        weights={"token": normal(1, 1, 4)},
    ),
    "guidance: twice the batch, and its halves combined": parse(
        f"""(float[batch, 4] x) => (float[batch, 4] y) {{
            {SIZE} {INTS}
            twice = Concat <axis = 0> (x, x)
            shape = Concat <axis = 0> (size, i4)
            a = Expand (with, shape)
            b = Expand (without, shape)
            condition = Concat <axis = 0> (a, b)
            s = Add (twice, condition)
            t = Tanh (s)
            p, q = Split <axis = 0, num_outputs = 2> (t)
            y = Sub (p, q)
        }}""",
        weights={"with": normal(1, 4), "without": normal(1, 4, seed=1)},
    ),
    "the last token of each row": parse(
        f"""(float[batch, length, 4] x, int64[batch, length] mask) => (float[batch, 4] y) {{
            {SIZE} {INTS}
            zero = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            n = ReduceSum <keepdims = 0> (mask, i1)
            last = Sub (n, one)
            rows = Squeeze (size, i0)
            each = Range (zero, rows, one)
            a = Unsqueeze (each, i1)
            b = Unsqueeze (last, i1)
            index = Concat <axis = 1> (a, b)
            y = GatherND (x, index)
        }}"""
    ),
    "the largest token of each row, in the flattened batch": parse(
        f"""(float[batch, length, 4] x, int64[batch, length] ids) => (float[batch, 4] y) {{
            {SIZE} {INTS}
            zero = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            n = Shape <start = 1, end = 2> (x)
            length = Squeeze (n, i0)
            rows = Squeeze (size, i0)
            each = Range (zero, rows, one)
            start = Mul (each, length)
            place = ArgMax <axis = 1, keepdims = 0> (ids)
            before = Sub (place, one)
            inside = Mod (before, length)
            index = Add (start, inside)
            shape = Constant <value_ints = [-1, 4]> ()
            flat = Reshape (x, shape)
            y = Gather (flat, index)
        }}"""
    ),
    "a state that is written column by column": parse(
        f"""(float[batch, 4] x) => (float[batch, 4] y) {{
            {SIZE} {INTS}
            zero = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            rows = Squeeze (size, i0)
            each = Range (zero, rows, one)
            a = Unsqueeze (each, i1)
            shape = Concat <axis = 0> (size, i1)
            b = ConstantOfShape <value = int64[1] {{2}}> (shape)
            index = Concat <axis = 1> (a, b)
            first = Gather <axis = 1> (x, zero)
            y = ScatterND (x, index, first)
        }}"""
    ),
    "a sum over time": parse(
        """(float[batch, length, 4] x) => (float[batch, length, 4] y) {
            axis = Constant <value_int = 1> ()
            y = CumSum (x, axis)
        }"""
    ),
    "the best classes": parse(
        """(float[batch, 8] x) => (float[batch, 3] y, int64[batch, 3] i, int64[batch] best) {
            k = Constant <value_ints = [3]> ()
            p = Softmax (x)
            y, i = TopK (p, k)
            best = ArgMax <axis = 1, keepdims = 0> (x)
        }"""
    ),
    "the mean over words that are there": parse(
        """(float[batch, length, 4] x, int64[batch, length] mask) => (float[batch, 4] y) {
            i1 = Constant <value_ints = [1]> ()
            last = Constant <value_ints = [2]> ()
            f = Cast <to = 1> (mask)
            m = Unsqueeze (f, last)
            p = Mul (x, m)
            s = ReduceSum <keepdims = 0> (p, i1)
            n = ReduceSum <keepdims = 0> (m, i1)
            y = Div (s, n)
        }"""
    ),
    "a branch for short sequences": parse(
        """(float[batch, length] x) => (float[batch, length] y) {
            n = Shape <start = 1, end = 2> (x)
            limit = Constant <value_ints = [4]> ()
            none = Constant <value_ints = [0]> ()
            short = Less (n, limit)
            condition = Squeeze (short, none)
            y = If (condition) <
                then_branch = a () => (float[batch, length] p) { p = Neg (x) },
                else_branch = b () => (float[batch, length] q) { q = Softmax (x) }
            >
        }"""
    ),
    "static quantization": parse(
        """(float[batch, 4, 8, 8] x) => (float[batch, 4, 8, 8] y) {
            scale = Constant <value_float = 0.02> ()
            zero = Constant <value = int8 {0}> ()
            q = QuantizeLinear (x, scale, zero)
            d = DequantizeLinear (q, scale, zero)
            c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (d, w)
            r = QuantizeLinear (c, scale, zero)
            y = DequantizeLinear (r, scale, zero)
        }""",
        weights={"w": normal(4, 4, 3, 3)},
    ),
    "a scale of each row for quantization": parse(
        """(float[batch, 4] x) => (float[batch, 4] y) {
            axes = Constant <value_ints = [1]> ()
            size = Abs (x)
            loudest = ReduceMax (size, axes)
            steps = Constant <value_float = 127.0> ()
            scale = Div (loudest, steps)
            parts = Div (x, scale)
            whole = Round (parts)
            y = Mul (whole, scale)
        }"""
    ),
    "pixels that are shuffled": parse(
        """(float[batch, 8, 4, 4] x) => (float[batch, 2, 8, 8] y) {
            y = DepthToSpace <blocksize = 2> (x)
        }"""
    ),
    "images that are warped": parse(
        """(float[batch, 2, 8, 8] x, float[batch, 2, 3] theta) => (float[batch, 2, 8, 8] y) {
            s = Shape (x)
            grid = AffineGrid (theta, s)
            y = GridSample (x, grid)
        }"""
    ),
    "half precision": parse(
        """(float16[batch, 4, 8] x) => (float16[batch, 4, 8] y) {
            n = LayerNormalization (x, gain)
            y = MatMul (n, w)
        }""",
        weights={"gain": np.ones(8, np.float16), "w": normal(8, 8, dtype=np.float16)},
    ),
    "a function of its own": parse(
        "(float[batch, 4] x) => (float[batch, 4] y) { y = local.centre (x) }",
        functions="""<domain: "local", opset_import: ["": 23]> centre (a) => (b)
        { axes = Constant <value_ints = [1]> () m = ReduceMean (a, axes) b = Sub (a, m) }""",
    ),
    "an answer that is the same for all": parse(
        """(float[batch, 4] x) => (float[batch, 2] y) {
            size = Shape <start = 0, end = 1> (x)
            two = Constant <value_ints = [2]> ()
            shape = Concat <axis = 0> (size, two)
            y = Expand (answer, shape)
        }""",
        weights={"answer": np.float32([1, 2])},
    ),
}
