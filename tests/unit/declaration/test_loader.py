"""Reading declarations: the mistake is named with its place, and it stays the mistake of one pipeline."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.declaration.loader import get_pipeline, load_pipelines
from include.declaration.resolve import resolve_function
from include.errors import DeclarationError
from include.settings import Settings

SOURCE = """
from include.declaration import *
from include.scoring.expressions import Column, Feature

PIPELINE = Pipeline(
    name="{name}",
    owner=("owner@example.com",),
    description="A pipeline of a test",
    data=Data(columns={{"x": "float", "late": "float"}}, first="2013-01", suite="rows"),
    label=Label(function="work:mark", definition="late", max_missing_share=0.1, base_rate=(0.1, 0.9)),
    request=Request(columns={{"x": RequestColumn(type="number")}}, assemble="work:assemble"),
    leakage=Leakage(known_after=("late",)),
    features=(Feature("x", Column("x")),),
    training=Training(
        candidates=(Candidate(name="naive", kind="naive"),), day_columns=("x",), features_suite="features"
    ),
    blessing=BlessingRules(value={{"roc_auc": Threshold(minimum=0.5)}}, predictions_suite="predictions"),
    deployment=Deployment(target=LocalTarget(port_offset={offset})),
)
"""


@pytest.fixture(autouse=True)
def forget_imported_pipelines() -> Iterator[None]:
    """Pipelines outside the project stay imported; each test writes its own under the same names."""
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "tollgate_pipelines"]:
        del sys.modules[name]


def declare(settings: Settings, name: str, offset: int, *changes: tuple[str, str], text: str | None = None) -> Path:
    """Write a pipeline's folder; ``changes`` replace text of the declaration, ``text`` all of it."""
    folder = settings.pipelines_path / name
    folder.mkdir(parents=True)
    source = SOURCE.format(name=name, offset=offset) if text is None else text
    for old, new in changes:
        assert source.count(old) == 1, f"{old!r} must occur once"
        source = source.replace(old, new)
    (folder / "__init__.py").touch()
    (folder / "pipeline.py").write_text(source)
    (folder / "work.py").write_text("def mark(rows):\n    return 'marked ' + rows\n")
    return folder


def test_declared_pipelines_are_read_in_name_order_and_know_their_place(settings: Settings) -> None:
    folder = declare(settings, "beta", 1)
    declare(settings, "alpha", 0)
    (settings.pipelines_path / "notes").mkdir()
    (settings.pipelines_path / "README.md").touch()
    loaded = load_pipelines(settings)
    assert list(loaded.pipelines) == ["alpha", "beta"] and loaded.errors == {}
    beta = loaded.pipelines["beta"]
    assert beta.folder == str(folder)
    assert resolve_function(beta, beta.label.function)("rows") == "marked rows"


def test_missing_folder_of_pipelines_is_no_pipelines(settings: Settings) -> None:
    loaded = load_pipelines(settings)
    assert (loaded.pipelines, loaded.errors) == ({}, {})


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("description=", "descripton=", "Did you mean 'description'?"),
        ("max_missing_share=", "max_missing=", "Did you mean 'max_missing_share'?"),
        ("features_suite=", "feature_suite=", "Did you mean 'features_suite'?"),
        ("known_after=", "known_afterwards=", "Did you mean 'known_after'?"),
        ("minimum=0.5", "minimun=0.5", "Did you mean 'minimum'?"),
        ("port_offset=", "port_ofset=", "Did you mean 'port_offset'?"),
        ('kind="naive"', 'knd="naive"', "Did you mean 'kind'?"),
        ("definition=", "zzz=", "Known names:"),
    ],
)
def test_wrong_name_anywhere_gets_a_suggestion(settings: Settings, old: str, new: str, says: str) -> None:
    declare(settings, "alpha", 0, (old, new))
    (error,) = load_pipelines(settings).errors.values()
    assert says in error.message
    assert new.partition("=")[0] in error.message


def test_wrong_name_inside_a_plain_dict_is_found_at_its_place(settings: Settings) -> None:
    declare(settings, "alpha", 0, ("Threshold(minimum=0.5)", "{{'minimun': 0.5}}".format()))
    (error,) = load_pipelines(settings).errors.values()
    assert "value.roc_auc.minimun: unknown name. Did you mean 'minimum'?" in error.message


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('first="2013-01"', 'first="January"', "January"),
        ('name="alpha"', 'name="Alpha!"', "is not a name"),
        ('function="work:mark"', 'function="os.system"', "is not module:function"),
        ("max_missing_share=0.1", "max_missing_share=7", "max_missing_share"),
        ("minimum=0.5", "", "give a minimum, a maximum or both"),
        ('known_after=("late",)', 'known_after=("x",)', "known only after the outcome: x"),
        ('Column("x")', 'Column("y")', "feature x reads y, not a request column"),
        ('kind="naive"', 'kind="custom"', "takes a function"),
        ('"late": "float"', '"late": "decimal"', "columns.late"),
        ("port_offset=0", "port_offset=-1", "port_offset"),
    ],
)
def test_value_that_cannot_be_meant_is_named(settings: Settings, old: str, new: str, says: str) -> None:
    declare(settings, "alpha", 0, (old, new))
    (error,) = load_pipelines(settings).errors.values()
    assert says in error.message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def broken(:", "SyntaxError"),
        ("import no_such_module_anywhere", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "it must define PIPELINE"),
        ("PIPELINE = 3", "PIPELINE is a int, not a Pipeline"),
        (SOURCE.format(name="gamma", offset=3), "it is named 'gamma', but its folder is 'broken'"),
    ],
)
def test_broken_pipeline_is_one_error_and_the_others_keep_running(settings: Settings, text: str, says: str) -> None:
    declare(settings, "alpha", 0)
    folder = declare(settings, "broken", 0, text=text)
    declare(settings, "zeta", 1)
    loaded = load_pipelines(settings)
    assert list(loaded.pipelines) == ["alpha", "zeta"]
    ((name, error),) = loaded.errors.items()
    assert name == "broken" and says in error.message
    assert (error.pipeline, error.source) == ("broken", str(folder / "pipeline.py"))
    assert not error.retryable


def test_two_pipelines_on_one_port_offset_keep_the_first(settings: Settings) -> None:
    declare(settings, "alpha", 4)
    declare(settings, "beta", 4)
    declare(settings, "gamma", 5)
    loaded = load_pipelines(settings)
    assert list(loaded.pipelines) == ["alpha", "gamma"]
    error = loaded.errors["beta"]
    assert "'alpha' and 'beta'" in error.message and error.place == "deployment.target.port_offset"


def test_broken_pipeline_occupies_no_port(settings: Settings) -> None:
    declare(settings, "alpha", 0, ("description=", "descripton="))
    declare(settings, "beta", 0)
    assert list(load_pipelines(settings).pipelines) == ["beta"]


def test_pipeline_outside_the_project_cannot_hide_an_installed_package(settings: Settings) -> None:
    """A pipeline may be called like a library; importing that library still gives the library."""
    import json

    declare(settings, "json", 0)
    loaded = load_pipelines(settings)
    assert loaded.pipelines["json"].package == "tollgate_pipelines.json"
    assert sys.modules["json"] is json


def test_asking_for_a_pipeline_that_is_not_there_suggests_one(settings: Settings) -> None:
    declare(settings, "flight_delays", 0)
    declare(settings, "broken", 1, ("description=", "descripton="))
    assert get_pipeline(settings, "flight_delays").name == "flight_delays"
    with pytest.raises(DeclarationError, match="Did you mean 'flight_delays'"):
        get_pipeline(settings, "flight_delay")
    with pytest.raises(DeclarationError, match="Declared: flight_delays"):
        get_pipeline(settings, "xyz")
    with pytest.raises(DeclarationError, match="Did you mean 'description'"):
        get_pipeline(settings, "broken")


@pytest.mark.parametrize("reference", ["work:no_such", "nowhere:mark"])
def test_function_that_is_not_there_is_named_with_where_to_define_it(settings: Settings, reference: str) -> None:
    declare(settings, "alpha", 0)
    pipeline = get_pipeline(settings, "alpha")
    module, _, function = reference.partition(":")
    with pytest.raises(DeclarationError) as caught:
        resolve_function(pipeline, reference)
    assert f"Define {function} in alpha/{module}.py" in caught.value.next_step
