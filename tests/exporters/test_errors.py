import inspect

from exporters import errors


def test_every_error_is_drawn_in_the_tree_and_exported():
    classes = [
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.ExportError)
    ]

    drawn = [name for name in classes if f" {name} " in errors.__doc__.replace("\n", " ")]
    assert drawn == classes
    assert set(classes) <= set(errors.__all__)


def test_the_first_line_of_an_error_skips_blank_lines():
    assert errors.first_line(ValueError("\n\n  first \nsecond")) == "first"
    assert errors.first_line(ValueError()) == "ValueError"
