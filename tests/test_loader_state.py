"""A saved and resumed pass over a DataLoader gives the same batches, and makes the same random draws."""

import copy
import io
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from minitrain import load, save
from minitrain.creation import tensor
from minitrain.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike import random
from minitrain.torchlike.random import Generator, default_generator

seeds = st.integers(0, 2**32 - 1)


# --- loaders of every kind -------------------------------------------------------------------------------------


class EveryOther(Sampler[int]):
    """A user's sampler, with an iterator that can save its position."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __iter__(self) -> Iterator[int]:
        return EveryOtherIterator(self.length)

    def __len__(self) -> int:
        return (self.length + 1) // 2


class EveryOtherIterator(Iterator[int]):
    def __init__(self, length: int) -> None:
        self.length, self.place = length, 0

    def __next__(self) -> int:
        if self.place >= self.length:
            raise StopIteration
        self.place += 2
        return self.place - 2

    def state_dict(self) -> dict[str, Any]:
        return {"place": self.place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.place = state["place"]


@dataclass(frozen=True)
class Recipe:
    """The arguments of a loader."""

    length: int
    batch_size: int | None
    drop_last: bool
    order: str
    num_samples: int | None
    owner: str  # of a generator
    subset: bool
    by_indices: bool  # iterate over its indices instead of its batches

    def made(self, loader_class: type[DataLoader[Any]], seed: int) -> DataLoader[Any]:
        own: Any = {"nobody": None, "default": default_generator}.get(self.owner, Generator().manual_seed(seed))
        others = Generator().manual_seed(seed + 1) if self.owner == "both" else own
        samples = list(range(100, 100 + self.length))
        dataset: Any = Subset(samples, [-1 - i for i in range(self.length)]) if self.subset else samples
        places = [i // 2 for i in range(self.length)]
        sampler: Any = {
            "shuffled": lambda: RandomSampler(dataset, num_samples=self.num_samples, generator=own),
            "with replacement": lambda: RandomSampler(dataset, True, self.num_samples, generator=own),
            "a subset": lambda: SubsetRandomSampler(places, own),
            "a list": lambda: places,
            "of one's own": lambda: EveryOther(self.length),
            "batches": lambda: BatchSampler(RandomSampler(dataset, generator=own), 2, self.drop_last),
            "lists": lambda: [places, [0], places[:2]],
        }.get(self.order, lambda: None)()
        options: Any = {"generator": others if self.owner != "the sampler" else None}
        if self.order in ("batches", "lists"):
            return loader_class(dataset, batch_sampler=sampler, **options)
        options |= {"batch_size": self.batch_size, "drop_last": self.drop_last and self.batch_size is not None}
        return loader_class(dataset, sampler=sampler, shuffle=self.order == "shuffle", **options)

    def begun(self, loader: DataLoader[Any]) -> Iterator[Any]:
        return loader.indices() if self.by_indices else iter(loader)


ORDERS = [
    "in order",
    "shuffle",
    "shuffled",
    "with replacement",
    "a subset",
    "a list",
    "of one's own",
    "batches",
    "lists",
]
recipes = st.builds(
    Recipe,
    length=st.integers(1, 12),
    batch_size=st.none() | st.integers(1, 5),
    drop_last=st.booleans(),
    order=st.sampled_from(ORDERS),
    num_samples=st.none() | st.integers(1, 70) | st.integers(20, 70),  # the more, the more is drawn in a pass
    owner=st.sampled_from(["nobody"] * 4 + ["both", "one for all", "the sampler", "default"]),
    subset=st.booleans(),
    by_indices=st.booleans(),
)

drawing_amid_a_pass = st.builds(
    replace, recipes, order=st.sampled_from(["shuffled", "with replacement"]), num_samples=st.integers(20, 70)
)


def plain(batch: Any) -> Any:
    return batch.tolist() if isinstance(batch, Tensor) else batch


def in_bytes(state: Any) -> bytes:
    file = io.BytesIO()
    save(state, file)
    return file.getvalue()


def through_a_file(state: Any) -> Any:
    return load(io.BytesIO(in_bytes(state)))


# --- in any order of events ------------------------------------------------------------------------------------


class World:
    """A loader, its pass, and the default generator: everything that a program acts on."""

    def __init__(self, recipe: Recipe, loader_class: type[DataLoader[Any]], seed: int) -> None:
        self.recipe = recipe
        self.loader = recipe.made(loader_class, seed)
        self.batches: Iterator[Any] | None = None
        self.last: Any = None  # that can be given again

    def do(self, action: str, number: int) -> Any:
        """Do one action, and return its result."""
        if action == "begin":
            self.batches, self.last = self.recipe.begun(self.loader), None
        elif action == "draw":
            return random.random_int64()
        elif action == "reseed":
            random.manual_seed(number)
        elif self.batches is not None:
            try:
                self.last = plain(next(self.batches))
                return self.last
            except StopIteration:
                self.batches = self.last = None
        return None

    def saved(self, again: bool) -> Any:
        """The contents of a checkpoint, written to a file and loaded again."""
        return through_a_file(
            {"loader": self.loader.state_dict(again=again), "default": wrap(default_generator.get_state())}
        )

    def restore(self, checkpoint: Any, loader: DataLoader[Any], begun: bool) -> None:
        self.loader = loader
        loader.load_state_dict(checkpoint["loader"])
        default_generator.set_state(checkpoint["default"])
        self.batches, self.last = self.recipe.begun(loader) if begun else None, None

    def generators(self) -> list[bytes]:
        return [each.get_state().tobytes() for each in (default_generator, *self.loader._generators())]


class Restored(RuleBasedStateMachine):
    """After a restore, a program repeats what it did after the save, with the same results."""

    loader_class: type[DataLoader[Any]] = DataLoader

    @initialize(recipe=recipes, seed=seeds)
    def start(self, recipe: Recipe, seed: int) -> None:
        self.begin_anew(recipe, seed)

    def begin_anew(self, recipe: Recipe, seed: int) -> None:
        random.manual_seed(seed)
        self.recipe, self.seed = recipe, seed
        self.world = World(recipe, self.loader_class, seed)
        self.done: list[tuple[str, int, Any]] = []  # all actions so far, and their outcomes
        self.saves: list[tuple[int, bool, Any, Any]] = []

    def do(self, action: str, number: int = 0) -> None:
        self.done.append((action, number, self.world.do(action, number)))

    @rule(count=st.integers(1, 12))
    def iterate(self, count: int) -> None:
        for _ in range(count):
            self.do("next")

    @rule(abandon=st.sampled_from([False, False, True]))
    def begin(self, abandon: bool) -> None:
        if abandon or self.world.batches is None:
            self.do("begin")

    @rule(number=st.none() | seeds)
    def draw_or_reseed(self, number: int | None) -> None:
        self.do("draw") if number is None else self.do("reseed", number)

    @rule(again=st.booleans())
    def save(self, again: bool) -> None:
        checkpoint = self.world.saved(again)
        begun = self.world.batches is not None
        self.saves.append((len(self.done), begun, self.world.last if again else None, checkpoint))

    @precondition(lambda self: self.saves)
    @rule(which=st.integers(0, 9), fresh=st.booleans(), other_seed=seeds)
    def restore(self, which: int, fresh: bool, other_seed: int) -> None:
        self.go_back(self.saves[-1 - which % len(self.saves)], fresh, other_seed)

    def go_back(self, saved: tuple[int, bool, Any, Any], fresh: bool, other_seed: int) -> None:
        since, begun, again, checkpoint = saved
        generators = self.world.generators()
        random.manual_seed(other_seed)
        loader = self.recipe.made(self.loader_class, other_seed) if fresh else self.world.loader
        self.world.restore(checkpoint, loader, begun)
        if again is not None:
            assert self.world.do("next", 0) == again, "the last batch once more"
        self.expect(since, generators)

    def expect(self, since: int, generators: list[bytes]) -> None:
        for action, number, outcome in self.done[since:]:
            assert self.world.do(action, number) == outcome, action
        assert self.world.generators() == generators, "the generators' places"

    def teardown(self) -> None:
        """Restore every save once more. Then run the whole program without any restore."""
        for saved in self.saves:
            self.go_back(saved, True, self.seed + 1)
        generators = self.world.generators()
        random.manual_seed(self.seed)
        self.world = World(self.recipe, DataLoader, self.seed)
        self.expect(0, generators)


TestRestored = Restored.TestCase
TestRestored.settings = settings(max_examples=6 * settings().max_examples)


class Skips(DataLoader[Any]):
    """Counts its batches. To resume, it starts a new pass and skips as many."""

    count = skip = 0

    def __iter__(self) -> Any:
        batches, skip = super().__iter__(), self.skip
        self.count = self.skip = 0
        for _ in range(skip):
            next(batches, None)
        return batches

    def _fetch(self, indices: Any) -> Any:
        self.count += 1
        return super()._fetch(indices)

    def state_dict(self, *, again: bool = False) -> dict[str, Any]:
        return {**super().state_dict(again=again), "count": self.count}

    def load_state_dict(self, state: Any) -> None:
        super().load_state_dict({"pass": state["pass"], "generators": state["generators"]})
        if self._position.resumes:
            self._position.resumes, self.skip = False, state["count"]


class DrawsTheBaseSeedAgain(DataLoader[Any]):
    def indices(self) -> Iterator[Any]:
        if self._position.resumes:
            random.random_int64()
        return super().indices()


class GivesNothingAgain(DataLoader[Any]):
    def state_dict(self, *, again: bool = False) -> dict[str, Any]:
        return super().state_dict()


def entries(state: Any) -> Iterator[tuple[Any, Any]]:
    """All entries of a state: the dict or list that contains the entry, and its key or index there."""
    for key in list(state) if isinstance(state, dict) else range(len(state)):
        yield state, key
        if isinstance(state[key], dict | list):
            yield from entries(state[key])


def at(name: str, change: Callable[[Any], Any]) -> type[DataLoader[Any]]:
    """A loader that changes the entries of this name in a state."""

    class Changed(DataLoader[Any]):
        def load_state_dict(self, state: Any) -> None:
            state = copy.deepcopy(state)
            for where, key in list(entries(state)):
                if key == name and where[key] is not None:
                    where[key] = change(where[key])
            super().load_state_dict(state)

    return Changed


BROKEN = {
    "skips batches": Skips,
    "draws too much": DrawsTheBaseSeedAgain,
    "gives nothing again": GivesNothingAgain,
    "forgets the pass's generator": at("generator", lambda state: wrap(Generator().get_state())),
    "forgets the users' generators": at("generators", lambda states: [wrap(Generator().get_state()) for _ in states]),
    "is one place behind": at("given", lambda place: max(place - 1, 0)),
    "forgets the pass": at("pass", lambda state: None),
    "has another order": at("order", lambda order: wrap(order.array[::-1].copy())),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_loader_is_caught_that(fault: str) -> None:
    class Broken(Restored):
        loader_class = BROKEN[fault]

        if fault == "forgets the pass's generator":  # which matters where more is drawn from it amid a pass

            @initialize(recipe=drawing_amid_a_pass, seed=seeds)
            def start(self, recipe: Recipe, seed: int) -> None:
                self.begin_anew(recipe, seed)

    profile = settings(phases=[Phase.generate], database=None, report_multiple_bugs=False, max_examples=2000)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Broken, settings=profile)


@settings(max_examples=2 * settings().max_examples)
@given(recipe=recipes, seed=seeds, other_seed=seeds)
def test_from_every_position_in_a_pass_the_rest_is_that_of_an_uninterrupted_run(
    recipe: Recipe, seed: int, other_seed: int
) -> None:
    random.manual_seed(seed)
    world = World(recipe, DataLoader, seed)
    world.do("begin", 0)
    checkpoints, given = [], []
    while world.batches is not None:
        checkpoints.append(world.saved(again=False))
        given.append(world.do("next", 0))
    generators = world.generators()
    for place, checkpoint in enumerate(checkpoints):
        random.manual_seed(other_seed)
        world.restore(checkpoint, recipe.made(DataLoader, other_seed), begun=True)
        assert [world.do("next", 0) for _ in given[place:]] == given[place:]
        assert world.generators() == generators


# --- one thing at a time ---------------------------------------------------------------------------------------


def shuffled(**options: Any) -> DataLoader[Any]:
    return DataLoader(range(10), **{"batch_size": 3, "shuffle": True, **options})  # type: ignore[arg-type]


def rest(loader: DataLoader[Any]) -> list[Any]:
    return [plain(batch) for batch in loader]


def test_a_pass_resumes_from_the_state_alone() -> None:
    random.manual_seed(0)
    batches = iter(shuffled())
    straight = [next(batches).tolist(), *map(plain, batches)]
    random.manual_seed(0)
    loader = shuffled()
    assert next(iter(loader)).tolist() == straight[0]
    state = through_a_file(loader.state_dict())
    random.manual_seed(1)
    before = default_generator.get_state().tobytes()
    loader = shuffled()
    loader.load_state_dict(state)
    assert rest(loader) == straight[1:]
    assert default_generator.get_state().tobytes() == before
    assert len(rest(loader)) == 4, "the next pass is complete"
    assert default_generator.get_state().tobytes() != before


def test_the_order_itself_is_in_the_state() -> None:
    random.manual_seed(0)
    loader = shuffled()
    first = next(iter(loader)).tolist()
    pass_state = loader.state_dict()["pass"]
    drawn = pass_state["indices"]["state"]["indices"]["state"]
    assert sorted(drawn["order"].tolist()) == list(range(10))
    assert drawn["order"].tolist()[:3] == first
    assert drawn["given"] == 3


def test_a_state_and_its_loader_share_nothing() -> None:
    loader = shuffled(generator=Generator())
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    before = in_bytes(state)
    erase(loader.state_dict())
    assert in_bytes(loader.state_dict()) == before, "changing a state does not change the loader"
    list(batches)
    list(loader)
    assert in_bytes(state) == before, "continuing the pass does not change the state"
    loader.load_state_dict(state)
    erase(state)
    assert in_bytes(loader.state_dict()) == before, "changing a loaded state does not change the loader"


def erase(state: Any) -> None:
    for where, key in list(entries(state)):
        if isinstance(where[key], Tensor):
            where[key].array[...] = 0


def test_a_state_without_a_pass_in_progress() -> None:
    loader = shuffled(generator=Generator().manual_seed(1))
    assert loader.state_dict()["pass"] is None
    list(loader)
    state = through_a_file(loader.state_dict())
    assert state["pass"] is None
    other = shuffled(generator=Generator().manual_seed(2))
    iter(other)
    other.load_state_dict(state)
    assert other.state_dict()["pass"] is None, "the pass in progress is abandoned"
    assert rest(other) == rest(loader), "the generator is restored, and a new pass begins"


@pytest.mark.parametrize("order", [*ORDERS])
def test_the_default_generator_is_the_programs_to_save(order: str) -> None:
    recipe = Recipe(4, 2, False, order, None, "default", False, False)
    loader = recipe.made(DataLoader, 0)
    next(iter(loader))
    assert loader.state_dict()["generators"] == []


def test_the_latest_of_several_passes_is_saved() -> None:
    loader = DataLoader(range(6), batch_size=2)
    first, second = iter(loader), iter(loader)
    list(first)
    next(second)
    loader.load_state_dict(loader.state_dict())
    assert rest(loader) == [[2, 3], [4, 5]]
    assert [batch.tolist() for batch in second] == [[2, 3], [4, 5]]


def test_the_last_batch_can_be_given_again_any_number_of_times() -> None:
    loader = DataLoader(range(6), batch_size=2)
    batches = iter(loader)
    assert next(batches).tolist() == [0, 1]
    for _ in range(3):
        loader.load_state_dict(through_a_file(loader.state_dict(again=True)))
        loader.load_state_dict(through_a_file(loader.state_dict()))  # no pass begun: the batch is still ahead
        loader.load_state_dict(through_a_file(loader.state_dict(again=True)))
        batches = iter(loader)
        assert next(batches).tolist() == [0, 1]
    loader.load_state_dict(loader.state_dict())
    assert rest(loader) == [[2, 3], [4, 5]]


def test_before_the_first_batch_there_is_none_to_give_again() -> None:
    loader = DataLoader(range(6), batch_size=2)
    iter(loader)
    loader.load_state_dict(loader.state_dict(again=True))
    assert rest(loader) == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("indices", [[4, 2, 3], np.array([4, 2, 3]), tensor([4, 2, 3]), [-1, 2, np.int32(3)]])
@pytest.mark.parametrize("batch_size", [2, None])
def test_a_batch_of_any_integers_is_given_again(indices: Any, batch_size: int | None) -> None:
    loader = DataLoader(range(5), batch_size, sampler=SubsetRandomSampler(indices))  # type: ignore[arg-type]
    batch = plain(next(iter(loader)))
    loader.load_state_dict(through_a_file(loader.state_dict(again=True)))
    assert plain(next(iter(loader))) == batch


def test_a_data_set_with_names_for_indices_resumes() -> None:
    samples: Any = {"one": 1, "two": 2, "three": 3}
    loader = DataLoader(samples, batch_size=1, sampler=SubsetRandomSampler(list(samples)))  # type: ignore[arg-type]
    batches = iter(loader)
    batch = next(batches).tolist()
    state = through_a_file(loader.state_dict(again=True))
    straight = [batch, *map(plain, batches)]
    loader.load_state_dict(state)
    assert rest(loader) == straight
    state["pass"]["again"] = ["four"]
    with pytest.raises(ValueError, match="does not exist in this data set"):
        loader.load_state_dict(state)


def test_whole_batches_of_tensors_resume() -> None:
    random.manual_seed(0)
    dataset = TensorDataset(tensor([[i, i * i] for i in range(7)]), tensor(list(range(7))))
    loader = DataLoader(dataset, batch_size=2, shuffle=True)
    batches = iter(loader)
    next(batches)
    state = through_a_file(loader.state_dict())
    straight = [[part.tolist() for part in batch] for batch in batches]
    loader.load_state_dict(state)
    assert [[part.tolist() for part in batch] for batch in loader] == straight


def test_an_exhausted_pass_frees_its_order() -> None:
    made = []

    class Watched(EveryOther):
        def __iter__(self) -> Iterator[int]:
            iterator = EveryOtherIterator(self.length)
            made.append(weakref.ref(iterator))
            return iterator

    loader = DataLoader(range(4), sampler=Watched(4))  # type: ignore[arg-type]
    batches = iter(loader)
    assert [batch.tolist() for batch in batches] == [[0], [2]]
    assert made[0]() is None
    assert list(batches) == []


def test_a_sampler_that_cannot_save_its_position_is_named() -> None:
    class Backwards(Sampler[int]):
        def __iter__(self) -> Iterator[int]:
            return iter([2, 1, 0])

    for loader in (
        DataLoader(range(3), sampler=Backwards()),  # type: ignore[arg-type]
        DataLoader(range(3), batch_sampler=BatchSampler(Backwards(), 1, False)),  # type: ignore[arg-type]
        DataLoader(range(3), batch_size=None, sampler=Backwards()),  # type: ignore[arg-type]
    ):
        assert loader.state_dict()["pass"] is None
        next(iter(loader))
        with pytest.raises(TypeError, match=r"iterator of Backwards, a list_iterator, has no state_dict. Give it stat"):
            loader.state_dict()


def test_a_list_with_an_order_of_its_own_is_followed() -> None:
    class Backwards(list[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(self[::-1])

    loader = DataLoader(range(3), sampler=Backwards([0, 1, 2]))  # type: ignore[arg-type]
    assert rest(loader) == [[2], [1], [0]]


def test_what_a_sampler_draws_for_its_iterator_comes_after_the_base_seed_as_in_torch() -> None:
    class Eager(Sampler[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(random.randperm(10).tolist())

    random.manual_seed(0)
    random.random_int64()
    expected = random.randperm(10).tolist()
    random.manual_seed(0)
    assert rest(DataLoader(range(10), 10, sampler=Eager())) == [expected]  # type: ignore[arg-type]


# --- states that do not fit ------------------------------------------------------------------------------------

begun: Any = {
    "shuffled": lambda: shuffled(),
    "with a generator": lambda: shuffled(generator=Generator()),
    "in pairs": lambda: shuffled(batch_size=2),
    "without the last": lambda: shuffled(drop_last=True),
    "without batches": lambda: shuffled(batch_size=None),
    "in order": lambda: shuffled(shuffle=False),
    "a longer data set": lambda: DataLoader(range(11), 3, shuffle=True),  # type: ignore[arg-type]
    "a longer one in order": lambda: DataLoader(range(11), 3),  # type: ignore[arg-type]
    "replaced": lambda: shuffled(shuffle=None, sampler=RandomSampler(range(10), True)),
    "more": lambda: shuffled(shuffle=None, sampler=RandomSampler(range(10), num_samples=20)),
    "a subset": lambda: shuffled(shuffle=None, sampler=SubsetRandomSampler(range(10))),
    "another subset": lambda: shuffled(shuffle=None, sampler=SubsetRandomSampler(range(9, -1, -1))),
    "a list": lambda: shuffled(shuffle=None, sampler=list(range(10))),
    "another list": lambda: shuffled(shuffle=None, sampler=[*range(8), 9, 8]),
    "SequentialSampler's batches": lambda: DataLoader(
        range(10), batch_sampler=BatchSampler(SequentialSampler(range(10)), 4, False)  # type: ignore[arg-type]
    ),
    "lists": lambda: DataLoader(range(10), batch_sampler=[[0, 1], [2]]),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("saved", begun)
def test_another_loaders_state_is_refused(saved: str) -> None:
    loader = begun[saved]()
    next(iter(loader))
    state = through_a_file(loader.state_dict())
    for other in begun:
        if other == saved:
            begun[other]().load_state_dict(state)
        else:
            with pytest.raises(
                ValueError, match=r"the state does not fit this DataLoader: .*Load the state_dict\(\) of a loader"
            ):
                begun[other]().load_state_dict(state)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("batch_size", 4, "its batch_size is 4, expected 3"),
        ("drop_last", True, "its drop_last is True, expected False"),
        ("length", 11, "its length is 11, expected 10"),
        ("sampler", "SequentialSampler", "its sampler is 'SequentialSampler', expected 'BatchSampler'"),
        ("given", -1, "given is -1, expected a whole number from 0 to 10"),
        ("given", 11, "given is 11, expected"),
        ("given", 3.0, "given is 3.0, expected"),
        ("given", True, "given is True, expected"),
        ("blocks", -1, "blocks is -1, expected a whole number from 0 up"),
        ("blocks", 2, "order of block 2 is .*expected 0 int64"),
        ("order", tensor([*range(9), 10]), "has indices from 0 to 10, expected 0 to 9"),
        ("order", tensor([*range(9), -1]), "has indices from -1 to 8, expected 0 to 9"),
        ("order", tensor([*range(9), 0]), "contains an index twice"),
        ("order", tensor([*range(9), 0.0]), "expected 10 int64 indices"),
        ("order", tensor([[*range(10)]]), "expected 10 int64 indices"),
        ("order", list(range(10)), "expected 10 int64 indices"),
        ("generator", None, "the state of a generator: expected a Tensor, got NoneType"),
        ("generator", tensor([1]), "the state of a generator: RNG state must be an array of uint8"),
        ("generator", wrap(np.zeros(5056, np.uint8)), "the state of a generator: Invalid mt19937"),
        ("generators", [], r"generators is \[\], expected a list of length 1"),
        ("generators", None, "generators is None"),
        ("generators", [tensor([1])], "the state of a generator"),
        ("again", [0, 10, 1], r"\[0, 10, 1\], the batch to give again, does not exist in this data set"),
        ("again", [0, -11, 1], "does not exist in this data set"),
        ("again", [0, 1, 2, 3], "does not exist in this data set"),
        ("again", [], "does not exist in this data set"),
        ("again", 0, "does not exist in this data set"),
        ("again", [0.0], "does not exist in this data set"),
        ("again", ["0"], "does not exist in this data set"),
        ("indices", {}, "{} is not a dict of sampler, state"),
        ("pass", [], r"\[\] is not a dict of indices, again"),
        ("pass", True, "True is not a dict of indices, again"),
    ],
)
def test_what_is_wrong_in_a_state_is_named(name: str, value: Any, message: str) -> None:
    loader = shuffled(generator=Generator(), sampler=RandomSampler(range(10)), shuffle=None)
    next(iter(loader))
    state = through_a_file(loader.state_dict())
    where = next(where for where, key in entries(state) if key == name)
    where[name] = value
    with pytest.raises(ValueError, match=message):
        loader.load_state_dict(state)


def test_a_refused_state_changes_nothing() -> None:
    first, second = Generator().manual_seed(1), Generator().manual_seed(2)
    loader = shuffled(shuffle=None, sampler=RandomSampler(range(10), generator=first), generator=second)
    iter(loader)
    state = loader.state_dict()
    assert len(state["generators"]) == 2
    next(iter(loader))
    before = in_bytes(loader.state_dict())
    state["generators"][1] = tensor([1])
    with pytest.raises(ValueError, match="the state of a generator"):
        loader.load_state_dict(state)
    assert in_bytes(loader.state_dict()) == before


@pytest.mark.parametrize("place", [-1, 11, None, "1", 1.0])
def test_a_place_outside_the_order_is_refused(place: Any) -> None:
    loader = DataLoader(range(10), batch_size=None)  # type: ignore[arg-type]
    next(iter(loader))
    state = loader.state_dict()
    state["pass"]["indices"]["state"]["given"] = place
    with pytest.raises(ValueError, match=f"given is {place!r}, expected a whole number from 0 to 10"):
        loader.load_state_dict(state)


def test_a_private_generator_is_refused_where_none_is_used() -> None:
    loader = shuffled(generator=Generator())
    next(iter(loader))
    state = loader.state_dict()
    state["pass"]["indices"]["state"]["indices"]["state"]["generator"] = state["generators"][0]
    with pytest.raises(ValueError, match="has the state of a private generator, which this pass does not use"):
        loader.load_state_dict(state)


@pytest.mark.parametrize("state", [None, [], {}, {"pass": None}, {"pass": None, "generators": [], "more": 0}])
def test_anything_but_a_state_is_refused(state: Any) -> None:
    with pytest.raises(ValueError, match="is not a dict of pass, generators"):
        shuffled().load_state_dict(state)


strange = st.sampled_from(
    [None, True, -1, 0, 1, 2, 3, 12, 2**63, 10**30, 0.5, float("nan"), "", "RandomSampler", [], [[]], [-1], [0], {}]
) | st.sampled_from([np.zeros(0, np.int64), np.array(0), np.zeros(12), np.zeros(5056, np.uint8)]).map(wrap)


@st.composite
def damaged(draw: st.DrawFn, state: Any) -> Any:
    """The state with a changed value, a missing or additional entry, or a Tensor with other numbers."""
    state = copy.deepcopy(state)
    for _ in range(draw(st.integers(1, 2))):
        where, key = draw(st.sampled_from(list(entries(state))))
        value = where[key]
        kind = draw(st.sampled_from(["replaced", "removed", "added", "number"]))
        if kind == "removed":
            del where[key]
        elif kind == "added":
            where.append(draw(strange)) if isinstance(where, list) else where.update({draw(st.text()): draw(strange)})
        elif kind == "number" and isinstance(value, Tensor) and value.array.size:
            value.array.flat[draw(st.integers(0, value.array.size - 1))] = draw(st.integers(0, 255))
        elif kind == "number" and type(value) is int:
            where[key] = value + draw(st.integers(-2, 2))
        else:
            where[key] = draw(strange)
        if not state:
            break
    return state


@settings(max_examples=300)
@given(recipe=recipes.filter(lambda recipe: recipe.order != "of one's own"), seed=seeds, data=st.data())
def test_a_damaged_state_is_refused_or_gives_a_pass(recipe: Recipe, seed: int, data: st.DataObject) -> None:
    random.manual_seed(seed)
    world = World(recipe, DataLoader, seed)
    world.do("begin", 0)
    for _ in range(data.draw(st.integers(0, 4))):
        world.do("next", 0)
    state = data.draw(damaged(world.saved(again=data.draw(st.booleans()))["loader"]))
    note(str(state))
    loader = recipe.made(DataLoader, seed)
    iter(loader)
    before = in_bytes(loader.state_dict())
    try:
        loader.load_state_dict(state)
    except ValueError:
        assert in_bytes(loader.state_dict()) == before, "nothing has changed"
    else:
        list(loader)
        list(loader)
