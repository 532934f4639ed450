"""Discovery of proxies in a folder, and options from mappings."""

import importlib
import itertools
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from sgt.proxies import PROXIES, make_proxy, options_type, proxy_options, tasks
from sgt.proxies.registry import discover

TEMPLATE = (Path(__file__).parents[2] / "docs/templates/proxy.py").read_text()
NUMBERS = itertools.count()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write modules into a package and import it."""

    def write(**modules: str):
        name = f"extra_tasks_{next(NUMBERS)}"
        for module, text in {"__init__": "", **modules}.items():
            path = tmp_path / name / f"{module}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    return write


def test_every_file_of_the_folder_is_a_proxy_and_the_papers_come_first():
    files = {path.stem for path in Path(tasks.__file__).parent.glob("*.py")} - {"__init__"}
    assert {type(proxy).__module__.rpartition(".")[2] for proxy in PROXIES.values()} == files
    assert list(PROXIES)[:7] == [
        "segmentation", "depth", "edge", "reconstruction", "inpainting", "detection", "normals",
    ]  # fmt: skip


def test_the_order_does_not_depend_on_the_names_of_files(package):
    def named(name: str, level: str, order: int = 100) -> str:
        text = TEMPLATE.replace('"contrast"', f'"{name}"').replace('"low"', f'"{level}"')
        return text.replace(f'level = "{level}"', f'level = "{level}"\n    sheet_order = {order}')

    found = discover(package(a=named("c", "low"), b=named("b", "low"), c=named("z", "high"), d=named("y", "low", 1)))
    assert list(found) == ["y", "z", "b", "c"]
    assert found["z"].level == "high" and found["z"].options.cutoff == 1.0


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ('    name = "contrast"\n', "", "Contrast has no name"),
        ('level = "low"', 'level = "lowest"', "level is 'lowest': use one of high, mid, low"),
        ('Literal["contrast"]', 'Literal["edge"]', 'declare `task: Literal\\["contrast"\\]` in its Options'),
        ("class Contrast(Proxy)", "class Contrast", "defines no proxy: move it out of extra_tasks_"),
    ],
)
def test_an_incomplete_proxy_is_named(before, after, problem, package):
    assert before in TEMPLATE
    with pytest.raises(TypeError, match=problem):
        discover(package(contrast=TEMPLATE.replace(before, after)))


def test_two_proxies_of_one_name_are_refused(package):
    with pytest.raises(TypeError, match=r"\.a and extra_tasks_\d+\.b both define a proxy named 'contrast': rename one"):
        discover(package(a=TEMPLATE, b=TEMPLATE))


def test_a_proxy_that_a_module_imports_is_not_its_own(package):
    text = TEMPLATE + "\nfrom sgt.proxies.tasks.edge import Edge  # noqa: E402, F401\n"
    assert list(discover(package(contrast=text))) == ["contrast"]


def test_options_of_a_mapping():
    options = proxy_options({"task": "edge", "method": "canny", "sigma": 2})
    assert (options.method, options.sigma) == ("canny", 2.0)
    assert make_proxy(options).options is options and type(make_proxy(options)) is type(PROXIES["edge"])
    for name, proxy in PROXIES.items():
        assert proxy_options({"task": name}) == proxy.options


@pytest.mark.parametrize("mapping", [{}, {"task": "edges"}, {"task": None}, {"task": ["edge"]}])
def test_an_unknown_task_is_refused_with_the_known_ones(mapping):
    with pytest.raises(ValueError, match="one of segmentation, depth, edge") as caught:
        proxy_options(mapping)
    assert not isinstance(caught.value, ValidationError)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"metod": "canny"}, "metod"),
        ({"method": "canny", "sigma": "2"}, "sigma"),
        ({"method": "canny", "low": 2}, "low"),
    ],
)
def test_an_invalid_option_is_located(options, where):
    with pytest.raises(ValidationError) as caught:
        proxy_options({"task": "edge", **options})
    assert caught.value.errors()[0]["loc"] == ("edge", where)


def test_the_schema_has_the_options_of_every_task():
    schema = TypeAdapter(options_type()).json_schema()
    assert set(schema["discriminator"]["mapping"]) == set(PROXIES)
