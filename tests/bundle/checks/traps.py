"""Models whose rows are not their own: each reaches over the batch in another way.

Name → (the operator to be named, the model).
"""

import numpy as np

from tests.bundle.checks.texts import normal, parse

ROWS = "(float[batch, 4] x) => (float[batch, 4] y)"
SEQUENCES = "(float[batch, 6, 4] x) => (float[batch, 6, 4] y)"
SIZE = "size = Shape <start = 0, end = 1> (x)\n"
COUNTER = (
    SIZE
    + """
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    none = Constant <value_ints = [0]> ()
    rows = Squeeze (size, none)
    count = Range (zero, rows, one)
    """
)
INSTANCE = {"scale": np.ones(4, np.float32), "shift": np.zeros(4, np.float32)}


def rows(body, **more):
    return parse(f"{ROWS} {{ {body} }}", **more)


def recurrent(kind, gates, outputs="y3"):
    return parse(
        f"""(float[batch, 6, 4] x) => (float[batch, 6, 4] y) {{
            {outputs} = {kind} <hidden_size = 4> (x, w, r)
            axis = Constant <value_ints = [1]> ()
            y = Squeeze (y3, axis)
        }}""",
        weights={"w": normal(1, gates * 4, 4), "r": normal(1, gates * 4, 4, seed=1)},
    )


TRAPS = {
    # values
    "the mean over the batch is subtracted": (
        "ReduceMean",
        rows("axes = Constant <value_ints = [0]> () mean = ReduceMean (x, axes) y = Sub (x, mean)"),
    ),
    "the mean over everything is subtracted": (
        "ReduceMean",
        rows("mean = ReduceMean (x) y = Sub (x, mean)"),
    ),
    "the norm of everything scales": (
        "ReduceL2",
        rows("norm = ReduceL2 (x) y = Div (x, norm)"),
    ),
    "softmax over the batch": ("Softmax", rows("y = Softmax <axis = 0> (x)")),
    "old softmax over everything": ("Softmax", rows("y = Softmax <axis = 0> (x)", opset=11)),
    "log-softmax over the batch": ("LogSoftmax", rows("y = LogSoftmax <axis = -2> (x)")),
    "lp-normalization over the batch": (
        "LpNormalization",
        rows("y = LpNormalization <axis=0> (x)"),
    ),
    "a cumulative sum over the batch": (
        "CumSum",
        rows("axis = Constant <value_int = 0> () y = CumSum (x, axis)"),
    ),
    "the best of the batch": (
        "TopK",
        rows("k = Shape <start = 0, end = 1> (x) y, i = TopK <axis = 0> (x, k)"),
    ),
    "the best row's number": (
        "ArgMax",
        rows("best = ArgMax <axis = 0> (x) number = Cast <to = 1> (best) y = Add (x, number)"),
    ),
    "batch normalization in training mode": (
        "BatchNormalization",
        parse(
            f"""{ROWS} {{
                y, m, v = BatchNormalization <training_mode = 1> (x, scale, shift, m0, v0)
            }}""",
            weights=INSTANCE | {"m0": np.zeros(4, np.float32), "v0": np.ones(4, np.float32)},
        ),
    ),
    "mean-variance normalization over its default axes": (
        "MeanVarianceNormalization",
        parse(
            """(float[batch, 4, 3, 3] x) => (float[batch, 4, 3, 3] y)
            { y = MeanVarianceNormalization (x) }"""
        ),
    ),
    "dynamic quantization": (
        "DynamicQuantizeLinear",
        rows(
            """q, scale, zero = DynamicQuantizeLinear (x)
            z = MatMulInteger (q, w, zero)
            f = Cast <to = 1> (z)
            y = Mul (f, scale)""",
            weights={"w": np.arange(16, dtype=np.uint8).reshape(4, 4)},
        ),
    ),
    "a scale of the whole batch for quantization": (
        "ReduceMax",
        rows(
            """loudest = ReduceMax <keepdims = 0> (x)
            steps = Constant <value_float = 127.0> ()
            scale = Div (loudest, steps)
            zero = Constant <value = int8 {0}> ()
            q = QuantizeLinear (x, scale, zero)
            y = DequantizeLinear (q, scale, zero)"""
        ),
    ),
    "a Gram matrix": (
        "MatMul",
        rows("t = Transpose <perm = [1, 0]> (x) gram = MatMul (x, t) y = MatMul (gram, x)"),
    ),
    "a Gram matrix by Gemm": (
        "Gemm",
        rows("gram = Gemm <transB = 1> (x, x) y = MatMul (gram, x)"),
    ),
    "a contraction over the batch": (
        "Einsum",
        rows('y = Einsum <equation="bi,ci,cj->bj"> (x,x,x)'),
    ),
    "a diagonal over the batch": (
        "Einsum",
        rows(
            """t = Transpose <perm = [1, 0]> (x)
            gram = Einsum <equation = "ij,ik->jk"> (t, t)
            own = Einsum <equation = "ii->i"> (gram)
            last = Constant <value_ints = [1]> ()
            column = Unsqueeze (own, last)
            y = Mul (x, column)"""
        ),
    ),
    "attention over the batch": (
        "Attention",
        parse(
            """(float[batch, 6, 4] x) => (float[batch, 6, 4] y) {
                t = Transpose <perm = [1, 0, 2]> (x)
                a = Attention <q_num_heads = 2, kv_num_heads = 2> (t, t, t)
                y = Transpose <perm = [1, 0, 2]> (a)
            }"""
        ),
    ),
    "a clamp to the loudest of the batch": (
        "ReduceMax",
        rows(
            """top = ReduceMax (x)
            half = Constant <value_float = 0.5> ()
            limit = Mul (top, half)
            y = Min (x, limit)"""
        ),
    ),
    # only sometimes
    "only if a neighbour is not a number": (
        "ReduceMax",
        rows(
            """bad = IsNaN (x)
            number = Cast <to = 1> (bad)
            any = ReduceMax (number)
            none = Constant <value_float = 0.0> ()
            ill = Greater (any, none)
            y = Where (ill, none, x)"""
        ),
    ),
    "only if a neighbour is not a number, by a product with zero": (
        "ReduceMean",
        rows(
            """mean = ReduceMean (x)
            zero = Constant <value_float = 0.0> ()
            nothing = Mul (mean, zero)
            y = Add (x, nothing)"""
        ),
    ),
    "only if a neighbour is loud": (
        "ReduceMax",
        rows(
            """size = Abs (x)
            loudest = ReduceMax (size)
            limit = Constant <value_float = 1e30> ()
            loud = Greater (loudest, limit)
            zero = Constant <value_float = 0.0> ()
            y = Where (loud, zero, x)"""
        ),
    ),
    "only beyond a threshold of the sum": (
        "ReduceSum",
        rows(
            """sum = ReduceSum (x)
            limit = Constant <value_float = 1e35> ()
            much = Greater (sum, limit)
            amount = Cast <to = 1> (much)
            y = Add (x, amount)"""
        ),
    ),
    "only if two rows are equal": (
        "Equal",
        parse(
            """(float[batch, 4] x) => (float[batch, 4] y) {
                first = Constant <value_ints = [0]> ()
                second = Constant <value_ints = [1]> ()
                a = Unsqueeze (x, first)
                b = Unsqueeze (x, second)
                same = Equal (a, b)
                number = Cast <to = 1> (same)
                count = ReduceSum <keepdims = 0> (number, second)
                one = Constant <value_float = 1.0> ()
                more = Greater (count, one)
                y = Where (more, one, x)
            }"""
        ),
    ),
    "only if values repeat": (
        "Unique",
        rows(
            """u, first, inverse, counts = Unique (x)
            n = Size (u)
            all = Size (x)
            same = Equal (n, all)
            zero = Constant <value_float = 0.0> ()
            y = Where (same, x, zero)"""
        ),
    ),
    # sizes
    "values scaled by the batch's size": (
        "Mul",
        rows(SIZE + "number = Cast <to = 1> (size) y = Mul (x, number)"),
    ),
    "only from nine rows on": (
        "Where",
        rows(
            SIZE
            + """limit = Constant <value_ints = [8]> ()
            many = Greater (size, limit)
            zero = Constant <value_float = 0.0> ()
            y = Where (many, zero, x)"""
        ),
    ),
    "only at a size that is a multiple of seven": (
        "Add",
        rows(
            SIZE
            + """seven = Constant <value_ints = [7]> ()
            rest = Mod (size, seven)
            is = Not (some)
            number = Cast <to = 1> (is)
            y = Add (x, number)""".replace(
                "is = Not (some)", "some = Cast <to = 9> (rest) is = Not (some)"
            )
        ),
    ),
    "a branch for large batches": (
        "If",
        rows(
            SIZE
            + """limit = Constant <value_ints = [100]> ()
            none = Constant <value_ints = [0]> ()
            many = Greater (size, limit)
            condition = Squeeze (many, none)
            y = If (condition) <
                then_branch = large () => (float[batch, 4] a) { a = Neg (x) },
                else_branch = small () => (float[batch, 4] b) { b = Identity (x) }
            >"""
        ),
    ),
    "a shape that is another one for large batches": (
        "Reshape",
        rows(
            SIZE
            + """limit = Constant <value_ints = [20]> ()
            many = Greater (size, limit)
            four = Constant <value_ints = [4]> ()
            shape = Concat <axis = 0> (four, size)
            turned = Concat <axis = 0> (size, four)
            which = Where (many, turned, shape)
            columns = Transpose <perm = [1, 0]> (x)
            changed = Reshape (columns, which)
            flat = Reshape (changed, shape)
            y = Transpose <perm = [1, 0]> (flat)"""
        ),
    ),
    "padding that begins with the ninth row": (
        "Pad",
        rows(
            SIZE
            + """eight = Constant <value_ints = [8]> ()
            none = Constant <value_ints = [0]> ()
            more = Sub (size, eight)
            amount = Max (more, none)
            pads = Concat <axis = 0> (amount, none, none, none)
            wide = Pad (x, pads)
            y = Slice (wide, none, size, none)"""
        ),
    ),
    # positions
    "the row's number is added": (
        "Add",
        rows(
            COUNTER
            + """number = Cast <to = 1> (count)
            last = Constant <value_ints = [1]> ()
            column = Unsqueeze (number, last)
            y = Add (x, column)"""
        ),
    ),
    "only the thirtieth row": (
        "Where",
        rows(
            COUNTER
            + """thirty = Constant <value_int = 30> ()
            is = Equal (count, thirty)
            last = Constant <value_ints = [1]> ()
            column = Unsqueeze (is, last)
            nothing = Constant <value_float = 0.0> ()
            y = Where (column, nothing, x)"""
        ),
    ),
    "a counter made by a cumulative sum": (
        "Add",
        rows(
            SIZE
            + """ones = ConstantOfShape <value = float[1] {1.0}> (size)
            axis = Constant <value_int = 0> ()
            count = CumSum (ones, axis)
            last = Constant <value_ints = [1]> ()
            column = Unsqueeze (count, last)
            y = Add (x, column)"""
        ),
    ),
    "a table that is cut to the batch and is zero at first": (
        "Add",
        rows(
            SIZE
            + """none = Constant <value_ints = [0]> ()
            part = Slice (table, none, size)
            y = Add (x, part)""",
            weights={"table": np.repeat(np.float32([0, 1]), 40).reshape(20, 4)},
        ),
    ),
    "signs that alternate along the batch": (
        "Mul",
        rows(
            SIZE
            + """one = Constant <value_ints = [1]> ()
            two = Constant <value_ints = [2]> ()
            shape = Concat <axis = 0> (size, two)
            many = Expand (signs, shape)
            turned = Concat <axis = 0> (two, size)
            other = Reshape (many, turned)
            zero = Constant <value_int = 0> ()
            line = Gather (other, zero)
            column = Unsqueeze (line, one)
            y = Mul (x, column)""",
            weights={"signs": np.float32([1, -1])},
        ),
    ),
    "two constants behind each other, cut in the middle": (
        "Slice",
        rows(
            SIZE
            + """one = Constant <value_ints = [1]> ()
            none = Constant <value_ints = [0]> ()
            shape = Concat <axis = 0> (size, one)
            zeros = ConstantOfShape <value = float[1] {0.0}> (shape)
            ones = ConstantOfShape <value = float[1] {1.0}> (shape)
            both = Concat <axis = 0> (zeros, ones)
            end = Add (size, one)
            part = Slice (both, one, end, none)
            y = Add (x, part)"""
        ),
    ),
    "a causal mask over the batch": (
        "MatMul",
        rows(
            SIZE
            + """shape = Concat <axis = 0> (size, size)
            ones = ConstantOfShape <value = float[1] {1.0}> (shape)
            lower = Trilu <upper = 0> (ones)
            y = MatMul (lower, x)"""
        ),
    ),
    "the indices of a maximum count from the start of the batch": (
        "MaxPool",
        parse(
            """(float[batch, 2, 4, 4] x) => (float[batch, 2, 2, 2] y) {
                z, where = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
                number = Cast <to = 1> (where)
                y = Add (z, number)
            }"""
        ),
    ),
    # layout and movement
    "the first row for all": (
        "Gather",
        rows(
            """none = Constant <value_ints = [0]> ()
            first = Gather (x, none)
            y = Add (x, first)"""
        ),
    ),
    "the row before, by slices": (
        "Slice",
        rows(
            """none = Constant <value_ints = [0]> ()
            end = Constant <value_ints = [-1]> ()
            far = Constant <value_ints = [9223372036854775807]> ()
            last = Slice (x, end, far, none)
            others = Slice (x, none, end, none)
            y = Concat <axis = 0> (last, others)"""
        ),
    ),
    "rows in reverse": (
        "Slice",
        rows(
            """none = Constant <value_ints = [0]> ()
            end = Constant <value_ints = [-1]> ()
            far = Constant <value_ints = [-9223372036854775807]> ()
            y = Slice (x, end, far, none, end)"""
        ),
    ),
    "rows in reverse beyond the eighth": (
        "Slice",
        rows(
            """none = Constant <value_ints = [0]> ()
            eight = Constant <value_ints = [8]> ()
            end = Constant <value_ints = [-1]> ()
            far = Constant <value_ints = [9223372036854775807]> ()
            back = Constant <value_ints = [-9223372036854775807]> ()
            head = Slice (x, none, eight, none)
            tail = Slice (x, eight, far, none)
            turned = Slice (tail, end, back, none, end)
            y = Concat <axis = 0> (head, turned)"""
        ),
    ),
    "the next row, by a counter": (
        "Gather",
        rows(COUNTER + "next = Add (count, one) index = Mod (next, rows) y = Gather (x, index)"),
    ),
    "the next row, in large batches": (
        "Gather",
        rows(
            COUNTER
            + """limit = Constant <value_int = 50> ()
            many = Greater (rows, limit)
            step = Cast <to = 7> (many)
            next = Add (count, step)
            index = Mod (next, rows)
            y = Gather (x, index)"""
        ),
    ),
    "a row that the content chooses": (
        "Gather",
        rows(
            SIZE
            + """best = ArgMax <axis = 1, keepdims = 0> (x)
            index = Mod (best, size)
            other = Gather (x, index)
            y = Add (x, other)"""
        ),
    ),
    "a place in the flattened batch that may be another row's": (
        "Add",
        parse(
            f"""(float[batch, 6, 4] x) => (float[batch, 4] y) {{
                {COUNTER}
                six = Constant <value_int = 6> ()
                start = Mul (count, six)
                axes = Constant <value_ints = [1, 2]> ()
                sum = ReduceSum <keepdims = 0> (x, axes)
                far = Constant <value_float = 1e9> ()
                part = Div (sum, far)
                place = Cast <to = 7> (part)
                index = Add (start, place)
                shape = Constant <value_ints = [-1, 4]> ()
                flat = Reshape (x, shape)
                y = Gather (flat, index)
            }}"""
        ),
    ),
    "rows that are scattered in reverse": (
        "ScatterND",
        rows(
            COUNTER
            + """last = Sub (rows, one)
            back = Sub (last, count)
            end = Constant <value_ints = [1]> ()
            index = Unsqueeze (back, end)
            y = ScatterND (x, index, x)"""
        ),
    ),
    "elements of other rows": (
        "GatherElements",
        rows(
            """size = Shape (x)
            index = ConstantOfShape <value = int64[1] {0}> (size)
            y = GatherElements <axis = 0> (x, index)"""
        ),
    ),
    "elements that are scattered over rows": (
        "ScatterElements",
        rows(
            """size = Shape (x)
            index = ConstantOfShape <value = int64[1] {0}> (size)
            y = ScatterElements <axis = 0, reduction = "add"> (x, index, x)"""
        ),
    ),
    "a reshape that swaps rows and columns": (
        "Reshape",
        rows(
            SIZE
            + """four = Constant <value_ints = [4]> ()
            shape = Concat <axis = 0> (four, size)
            turned = Reshape (x, shape)
            y = Transpose <perm = [1, 0]> (turned)"""
        ),
    ),
    "the batch as time of an LSTM": ("LSTM", recurrent("LSTM", 4)),
    "the batch as time of a GRU": ("GRU", recurrent("GRU", 3)),
    "the batch as time of a plain recurrence": ("RNN", recurrent("RNN", 1)),
    "sequences reversed over the batch": (
        "ReverseSequence",
        parse(
            """(float[batch, 6, 4] x) => (float[batch, 6, 4] y) {
                size = Shape <start = 0, end = 1> (x)
                six = Constant <value_ints = [6]> ()
                lengths = Expand (size, six)
                y = ReverseSequence <time_axis = 0, batch_axis = 1> (x, lengths)
            }"""
        ),
    ),
    "instance normalization with the batch as space": (
        "InstanceNormalization",
        parse(
            """(float[batch, 4, 6] x) => (float[batch, 4, 6] y) {
                t = Transpose <perm = [2, 1, 0]> (x)
                n = InstanceNormalization (t, scale, shift)
                y = Transpose <perm = [2, 1, 0]> (n)
            }""",
            weights=INSTANCE,
        ),
    ),
    "group normalization of a batch in one": (
        "GroupNormalization",
        parse(
            """(float[batch, 4, 6] x) => (float[batch, 4, 6] y) {
                t = Transpose <perm = [1, 0, 2]> (x)
                none = Constant <value_ints = [0]> ()
                one = Unsqueeze (t, none)
                n = GroupNormalization <num_groups = 2> (one, scale, shift)
                back = Squeeze (n, none)
                y = Transpose <perm = [1, 0, 2]> (back)
            }""",
            weights=INSTANCE,
        ),
    ),
    "layer normalization over the batch": (
        "LayerNormalization",
        parse(
            """(float[batch, 4, 6] x) => (float[batch, 4, 6] y) {
                t = Transpose <perm = [1, 0, 2]> (x)
                n = LayerNormalization <axis = 1> (t, one)
                y = Transpose <perm = [1, 0, 2]> (n)
            }""",
            weights={"one": np.ones(1, np.float32)},
        ),
    ),
    "a convolution over the batch": (
        "Conv",
        parse(
            """(float[batch, 4, 6] x) => (float[batch, 4, 6] y) {
                t = Transpose <perm = [2, 1, 0]> (x)
                c = Conv <kernel_shape = [3], pads = [1, 1]> (t, w)
                y = Transpose <perm = [2, 1, 0]> (c)
            }""",
            weights={"w": normal(4, 4, 3)},
        ),
    ),
    "a pool over the batch": (
        "AveragePool",
        parse(
            """(float[batch, 4, 6] x) => (float[batch, 4, 6] y) {
                t = Transpose <perm = [2, 1, 0]> (x)
                c = AveragePool <kernel_shape = [3], pads = [1, 1]> (t)
                y = Transpose <perm = [2, 1, 0]> (c)
            }"""
        ),
    ),
    "an interpolation over the batch": (
        "Resize",
        parse(
            """(float[batch, 4, 6] x) => (float[batch, 4, 6] y) {
                none = Constant <value_ints = [0]> ()
                t = Unsqueeze (x, none)
                scales = Constant <value_floats = [1.0, 2.0, 1.0, 1.0]> ()
                wide = Resize <mode = "linear"> (t, "", scales)
                half = Constant <value_floats = [1.0, 0.5, 1.0, 1.0]> ()
                back = Resize <mode = "linear"> (wide, "", half)
                y = Squeeze (back, none)
            }""".replace('""', "")
        ),
    ),
    "padding that reflects the batch": (
        "Pad",
        rows(
            """pads = Constant <value_ints = [1, 0, 0, 0]> ()
            wide = Pad <mode = "edge"> (x, pads)
            none = Constant <value_ints = [0]> ()
            end = Constant <value_ints = [-1]> ()
            y = Slice (wide, none, end, none)"""
        ),
    ),
    # loops and functions
    "a scan that carries over the batch": (
        "Add",
        parse(
            """(float[batch, 4] x) => (float[batch, 4] y) {
                start = Constant <value = float[4] {0.0, 0.0, 0.0, 0.0}> ()
                end, y = Scan <num_scan_inputs = 1, body = step (float[4] sum, float[4] row)
                    => (float[4] more, float[4] out)
                    { more = Add (sum, row) out = Identity (more) }> (start, x)
            }"""
        ),
    ),
    "a loop over the rows": (
        "Loop",
        parse(
            """(float[batch, 4] x) => (float[batch, 4] y) {
                size = Shape <start = 0, end = 1> (x)
                none = Constant <value_ints = [0]> ()
                count = Squeeze (size, none)
                yes = Constant <value = bool {1}> ()
                y = Loop (count, yes, x) <body = step
                    (int64 i, bool go, float[batch, 4] a) => (bool on, float[batch, 4] b)
                    { on = Identity (go) half = Constant <value_float = 0.5> () b = Mul (a, half) }>
            }"""
        ),
    ),
    "a mean over the batch within a branch": (
        "ReduceMean",
        parse(
            """(float[batch, length] x) => (float[batch, length] y) {
                n = Shape <start = 1, end = 2> (x)
                limit = Constant <value_ints = [1000]> ()
                none = Constant <value_ints = [0]> ()
                long = Greater (n, limit)
                condition = Squeeze (long, none)
                y = If (condition) <
                    then_branch = large () => (float[batch, length] a)
                        { axes = Constant <value_ints = [0]> () m = ReduceMean (x, axes)
                          a = Sub (x, m) },
                    else_branch = small () => (float[batch, length] b) { b = Identity (x) }
                >
            }"""
        ),
    ),
    "a mean over the batch within a function": (
        "ReduceMean",
        rows(
            "y = local.centre (x)",
            functions="""<domain: "local", opset_import: ["": 23]> centre (a) => (b)
            { axes = Constant <value_ints = [0]> () m = ReduceMean (a, axes) b = Sub (a, m) }""",
        ),
    ),
    # not a function of the row at all
    "random values": (
        "RandomNormalLike",
        rows("noise = RandomNormalLike (x) y = Add (x, noise)", opset=21),
    ),
}
