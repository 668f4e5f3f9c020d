"""TARTAN's weights, against the same computed in plain PyTorch, and what they are good for."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from itertools import accumulate
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
import yaml
from composer import Algorithm
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.profiler import ProfilerActivity, profile

from recipe.algorithms.tartan import BodyGradients, DevelopmentGradient, MetaTartan, MTTartan, similarities, train_head
from recipe.checkpoint import latest_checkpoint, read_checkpoint
from recipe.config import load_config
from recipe.train import train
from tests.processes import run_ranks
from tests.recipe.algorithms.toy_tasks import (
    HIDDEN,
    LEARNING_RATE,
    Example,
    ToyBatches,
    ToyModel,
    cut,
    fit_toy,
    fixed_head,
    meta_tartan,
    toy_examples,
    toy_labels,
    toy_microbatch,
)
from tests.recipe.algorithms.toy_weights_on_ranks import WEIGHTINGS, in_turn, joined, train_toy
from tests.tiny_run import TINY, final_weights, train_with_sgd

TASKS = ("end", "helps", "other")
ADAM: dict[str, Any] = {"lr": 1e-3, "weight_decay": 0.1}


@pytest.fixture
def steps() -> list[list[dict[str, Any]]]:
    """Four steps of twelve examples in three microbatches of other sizes; the third has no example of one task."""
    examples = toy_examples(TASKS, 16)
    made = [examples[start : start + 12] for start in range(0, 48, 12)]
    made[2] = [example for example in made[2] if example[0] != "other"]
    return [cut(step, [5, 2, len(step) - 7]) for step in made]


@pytest.fixture
def batches() -> ToyBatches:
    return ToyBatches(toy_examples(["end"], 40, seed=2))


def by_hand(steps: list[Any], batches: ToyBatches | None, similarity: str, lr: float) -> tuple[ToyModel, Tensor]:
    """Algorithm of arXiv 2109.07437 with SGD: the model and w after the last step; without ``batches`` MT-TARTAN."""
    model = ToyModel(TASKS)
    w = torch.full((3,), 1 / 3)
    body = list(model.network.backbone.parameters())
    for number, step in enumerate(steps):
        alpha = torch.full((3,), 1 / 3) if batches is None or number == 0 else torch.softmax(w, dim=0)
        development = None if batches is None else _development(model, batches, number)
        losses: list[list[Tensor]] = [[], [], []]
        moves = torch.zeros(3)
        for microbatch in step:
            loss = model.loss(model(microbatch), microbatch)
            names = [s["task"] for s in microbatch["segments"] for _ in range(*s["examples"])]
            for t, task in enumerate(TASKS):
                own = [value for name, value in zip(names, loss, strict=True) if name == task]
                losses[t] += own
                if own and development is not None:
                    gradient = _flat(torch.autograd.grad(torch.stack(own).mean(), body, retain_graph=True))
                    product = gradient @ development
                    moves[t] += len(own) * (
                        product / (gradient.norm() * development.norm()) if similarity == "cosine" else product
                    )
        model.zero_grad()
        weighed = [a * torch.stack(own).mean() for a, own in zip(alpha, losses, strict=True) if own]
        torch.stack(weighed).sum().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= LEARNING_RATE * (0 if parameter.grad is None else parameter.grad)
        w = w + lr * moves / torch.tensor([max(len(own), 1) for own in losses])
    return model, w


def _development(model: ToyModel, batches: ToyBatches, step: int) -> Tensor:
    for_head, for_body = (toy_microbatch(part) for part in batches.whole(step))
    head = fixed_head()
    optimizer = torch.optim.AdamW(head.parameters(), **ADAM)
    features = model.network.represent(for_head).detach()
    for _ in range(10):
        optimizer.zero_grad()
        F.cross_entropy(head(features), toy_labels(for_head)).backward()
        optimizer.step()
    loss = F.cross_entropy(head(model.network.represent(for_body)), toy_labels(for_body))
    return _flat(torch.autograd.grad(loss, list(model.network.backbone.parameters())))


def _flat(tensors: Any) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_weights_and_training_are_those_of_plain_pytorch_with_accumulation(steps, batches, similarity):
    lr = {"cosine": 0.5, "dot": 50.0}[similarity]
    model = ToyModel(TASKS)
    algorithm = meta_tartan(model, TASKS, batches, similarity=similarity, lr=lr)
    fit_toy(model, steps, lambda: [algorithm])
    expected, w = by_hand(steps, batches, similarity, lr)
    torch.testing.assert_close(algorithm.weights.float(), torch.softmax(w, dim=0), rtol=0, atol=1e-6)
    assert (algorithm.weights - 1 / 3).abs().max() > 1e-3, "weights must have moved"
    for (key, parameter), found in zip(expected.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(found, parameter, rtol=0, atol=1e-6, msg=lambda m, k=key: f"{k}: {m}")


def test_mt_trains_on_the_equally_weighted_sum_of_the_tasks_mean_losses(steps):
    model = ToyModel(TASKS)
    fit_toy(model, steps, lambda: [MTTartan(TASKS)])
    expected, _ = by_hand(steps, None, "cosine", lr=0)
    for (key, parameter), found in zip(expected.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(found, parameter, rtol=0, atol=1e-6, msg=lambda m, k=key: f"{k}: {m}")


def test_zero_gradients_have_no_similarity():
    products, squares = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0])
    assert similarities(products, squares, torch.tensor(4.0), "cosine").tolist() == [1.0, 0.0]
    assert similarities(products, squares, torch.tensor(0.0), "cosine").tolist() == [0.0, 0.0]


def test_where_ranks_hold_copies_of_the_model_every_shard_counts_once(monkeypatch):
    """Six ranks, three copies of two shards each: only GPUs can train so."""
    monkeypatch.setattr("torch.distributed.device_mesh.get_rank", lambda: 0)
    monkeypatch.setattr("recipe.algorithms.tartan.gradients.dist.all_reduce", lambda tensor: tensor.mul_(6))
    mesh = DeviceMesh("cpu", [[0, 1], [2, 3], [4, 5]], _init_backend=False)
    sharded = nn.Parameter(DTensor.from_local(torch.ones(2, 3), mesh, (Replicate(), Shard(0)), run_check=False))
    products = torch.tensor([1.0, 2.5])
    BodyGradients([sharded], [sharded]).sum_shards(products)
    assert products.tolist() == [2.0, 5.0]


def test_a_heads_training_stops_where_its_loss_stands_still():
    head = nn.Linear(HIDDEN, 3)
    before = head.weight.clone()
    train_head(head, torch.zeros(4, HIDDEN), torch.tensor([0, 1, 2, 0]))  # nothing to learn from but the bias
    steps = ((1 - head.weight / before).mean() / 1e-4).round().item()  # decay alone: 1e-3 x 0.1 a step
    assert 1 <= steps < 10


def test_a_fresh_head_leaves_all_generators_alone(steps, batches, monkeypatch):
    """GPUs' too: with the same seed everywhere all ranks would draw the same dropout, in every step anew."""
    model = ToyModel(TASKS)
    meta = meta_tartan(model, TASKS, batches)
    compute = meta.development.compute

    def watched(*arguments: Any) -> list[Tensor | None]:
        with monkeypatch.context() as patched:
            patched.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("GPUs' generators are seeded"))
            before = torch.get_rng_state()
            gradient = compute(*arguments)
        assert torch.equal(torch.get_rng_state(), before)
        return gradient

    monkeypatch.setattr(meta.development, "compute", watched)
    fit_toy(model, steps[:1], lambda: [meta])


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_within_100_steps_a_helpful_task_outweighs_a_harmful_one_and_the_end_task_is_learned_better(seed):
    """The body has room for one truth (rank 2): the helpful task has the end task's, the other one its own."""
    truths = {"end": 3, "helps": 3, "other": 8}
    data = {task: toy_examples([task], 640, seed=truth) for task, truth in truths.items()}
    draw = torch.Generator().manual_seed(seed)
    drawn: list[list[Example]] = []
    for _ in range(100):
        picked = []
        for task, size, count in (("end", 12, 2), ("helps", 240, 6), ("other", 240, 6)):  # few of the end task's own
            picked += [data[task][int(i)] for i in torch.randint(0, size, (count,), generator=draw)]
        drawn.append(picked)
    dev, test = data["end"][240:320], data["end"][320:]

    def loss_after(algorithm: Callable[[ToyModel], Algorithm], without: str | None = None) -> float:
        model = ToyModel(TASKS, width=2)
        steps = [[toy_microbatch([example for example in picked if example[0] != without])] for picked in drawn]
        fit_toy(model, steps, lambda: [algorithm(model)], lr=0.3)
        return _end_task_loss(model, dev, test)

    learning: list[MetaTartan] = []

    def learn(model: ToyModel) -> MetaTartan:
        learning.append(meta_tartan(model, TASKS, ToyBatches(dev, (32, 48)), lr=0.1))
        return learning[0]

    equal, learned = loss_after(lambda _: MTTartan(TASKS)), loss_after(learn)
    assert loss_after(lambda _: MTTartan(TASKS), without="other") < equal - 0.03, "the other task must be harmful"
    assert learned < equal - 0.03
    end, helps, other = learning[0].weights.tolist()
    assert other < 1 / 3 and helps > 3 * other, (end, helps, other)


def _end_task_loss(model: ToyModel, dev: list[Example], test: list[Example]) -> float:
    """Of a new head on the trained body, fitted to all development examples: how good is the representation?"""
    batch, held_out = toy_microbatch(dev), toy_microbatch(test)
    head = fixed_head()
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(head(model.network.represent(batch).detach()), toy_labels(batch)).backward()
        optimizer.step()
    with torch.no_grad():
        return F.cross_entropy(head(model.network.represent(held_out)), toy_labels(held_out)).item()


def test_gradients_in_memory_with_40_tasks_are_those_with_4(monkeypatch):
    """Twice the body: the development gradient, and a task's or a part of the former's."""
    few, many = _most_gradient_bytes(4, monkeypatch), _most_gradient_bytes(40, monkeypatch)
    body = sum(p.nbytes for p in ToyModel(TASKS, width=200).network.backbone.parameters())
    assert many < 1.15 * few and few <= 2 * body, (few, many, body)


def _most_gradient_bytes(count: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Most bytes of gradients that were alive at a time, of all that were ever taken in a step of two microbatches."""
    tasks = [f"task{number:02}" for number in range(count)]
    model, taken, peak = ToyModel(tasks, width=200), [], 0
    take = BodyGradients.of

    def of(self: BodyGradients, *arguments: Any, **options: Any) -> list[Tensor | None]:
        nonlocal peak
        gradients = take(self, *arguments, **options)
        taken.extend(weakref.ref(gradient) for gradient in gradients if gradient is not None)
        peak = max(peak, sum(gradient.nbytes for reference in taken if (gradient := reference()) is not None))
        return gradients

    monkeypatch.setattr(BodyGradients, "of", of)
    meta = meta_tartan(model, tasks, ToyBatches(toy_examples(["task00"], 40, seed=2)))
    fit_toy(model, [cut(toy_examples(tasks, 80 // count), [40, 40])], lambda: [meta])
    monkeypatch.undo()
    assert len(taken) >= 2 * count, "every task's in both microbatches"
    return peak


def test_peak_memory_of_a_step_with_40_tasks_is_within_15_percent_of_that_with_4():
    """All tensors, as torch's allocator counts them: the same examples, of more tasks."""
    few, many = _peak_bytes(4), _peak_bytes(40)
    assert many < 1.15 * few, (few, many)


def _peak_bytes(count: int) -> float:
    tasks = [f"task{number:02}" for number in range(count)]
    model = ToyModel(tasks, width=200)
    meta = meta_tartan(model, tasks, ToyBatches(toy_examples(["task00"], 40, seed=2)))
    steps = [cut(toy_examples(tasks, 80 // count), [40, 40])] * 2
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        fit_toy(model, steps, lambda: [meta])
    recorded = cast(Any, profiled.profiler).kineto_results.events()
    events = sorted((event for event in recorded if event.name() == "[memory]"), key=lambda event: event.start_ns())
    return sum(parameter.nbytes for parameter in model.parameters()) + max(accumulate(e.nbytes() for e in events))


@pytest.mark.slow
def test_two_ranks_learn_the_weights_of_one(tmp_path):
    """Those of balancing, too. What META-TARTAN compares is under DDP a microbatch of a rank, so one process takes them
    in turn; under FSDP2 all ranks' at a time.
    """
    run_ranks("tests/recipe/algorithms/toy_weights_on_ranks.py", str(tmp_path), ranks=2)
    for parallelism, name in WEIGHTINGS:
        model, weighting = train_toy(joined if parallelism == "fsdp2" else in_turn, name)
        assert weighting.weights.max() - weighting.weights.min() > 1e-3, "weights must have moved"
        found = torch.load(tmp_path / f"{parallelism}-{name}.pt", weights_only=True)
        torch.testing.assert_close(found.pop("weights"), weighting.weights, rtol=0, atol=1e-6)
        for name, value in model.network.state_dict().items():
            torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.slow
def test_one_process_ddp_and_fsdp2_end_with_the_same_weights(run_yaml, tmp_path):
    """A real model with masked language modelling and R3F; scalar products do not depend on how a step is cut."""
    ends = {}
    for name, ranks, parallelism in (("one", 1, "ddp"), ("ddp", 2, "ddp"), ("fsdp2", 2, "fsdp2")):
        config = yaml.safe_load(run_yaml.read_text())
        config |= {"run_name": name, "parallelism": parallelism, "max_duration": "3ba", "eval_interval": "9ep"}
        config |= {"tasks": ["cola", "tapt_cola", "mnli"]}
        config["backbone"]["dropout"] = 0.0
        tartan = {
            "method": "meta",
            "end_task": "cola",
            "similarity": "dot",
            "lr": 0.1,
            "head_examples": 16,
            "examples": 24,
        }
        config["algorithms"] = {"tartan": tartan}
        config["activation_checkpointing"] = parallelism == "fsdp2"  # which changes nothing
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        train_with_sgd(path, ranks)
        weights = _algorithm_state(latest_checkpoint(tmp_path / "runs" / name / "checkpoints"))["weights"]
        ends[name] = final_weights(tmp_path / "runs" / name), torch.tensor(list(weights.values()))
    assert ends["one"][1].max() - ends["one"][1].min() > 1e-4, "weights must have moved"
    for other in ("ddp", "fsdp2"):
        torch.testing.assert_close(ends[other][1], ends["one"][1], rtol=0, atol=1e-6)
        for name, value in ends["one"][0].items():
            found = ends[other][0][name]
            torch.testing.assert_close(found, value, rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


META = ["algorithms.tartan.method=meta", "algorithms.tartan.end_task=cola", "algorithms.tartan.head_examples=16"]


def test_a_resumed_run_ends_bitwise_as_an_uninterrupted_one(run_yaml):
    """With dropout, R3F and log n; weights are in the checkpoint."""
    intervals = ["max_duration=5ba", "save_interval=1ba", "keep_checkpoints=-1", "eval_interval=9ep"]
    config = load_config(run_yaml, [*META, "algorithms.tartan.examples=24", *intervals])
    checkpoints = train(config).checkpoints
    last = checkpoints / "ep0-ba5-rank0.pt"
    whole, weights = read_checkpoint(last).weights, _algorithm_state(last)
    for step in range(3, 6):
        (checkpoints / f"ep0-ba{step}-rank0.pt").unlink()
    train(config)
    resumed = read_checkpoint(last).weights
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert _algorithm_state(last) == weights
    assert len(set(weights["weights"].values())) > 2, "weights must have moved"


@pytest.mark.parametrize("backbone", ["roberta", "bart"])  # BART's layers drop out by a flag of their own
def test_activation_checkpointing_holds_in_the_development_pass_and_changes_nothing(run_yaml, backbone, monkeypatch):
    compute, kept = DevelopmentGradient.compute, []

    def weighed(self: DevelopmentGradient, *arguments: Any) -> list[Tensor | None]:
        kept.append(0)

        def weigh(tensor: Tensor) -> Tensor:
            kept[-1] += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(weigh, lambda tensor: tensor):
            return compute(self, *arguments)

    monkeypatch.setattr(DevelopmentGradient, "compute", weighed)
    ends, sizes = {}, {}
    for switch in ("false", "true"):
        short = ["max_duration=2ba", "eval_interval=9ep", f"run_name={switch}", f"activation_checkpointing={switch}"]
        config = load_config(run_yaml, [*META, "tasks=[cola,mnli]", "algorithms.tartan.examples=24", *short])
        config.backbone.config = TINY[backbone]
        checkpoint = latest_checkpoint(train(config).checkpoints)
        assert checkpoint is not None
        ends[switch] = read_checkpoint(checkpoint).weights, _algorithm_state(checkpoint)["weights"]
        sizes[switch] = max(kept[-2:])
    assert sizes["true"] < 0.6 * sizes["false"], sizes
    assert ends["true"][1] == pytest.approx(ends["false"][1], abs=1e-6)
    for name, value in ends["false"][0].items():
        torch.testing.assert_close(ends["true"][0][name], value, rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def _algorithm_state(checkpoint: Any) -> dict[str, Any]:
    content = torch.load(checkpoint, weights_only=False, map_location="cpu")
    return dict(content["state"]["algorithms"])["MetaTartan"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.strategy=batch_homogeneous"], "data.strategy=batch_homogeneous has one"),
        (["data.weighting=tasks"], "leave data.weighting at examples"),
        (["algorithms.balancing=dwa"], "both weigh the tasks"),
        (["algorithms.tartan.end_task=rte"], "end_task=rte must be one of tasks"),
        (["algorithms.tartan.end_task=rte", "algorithms.tartan.method=mt"], "end_task=rte must be one of tasks"),
        (["algorithms.tartan.end_task=squad"], "squad is a mrc task"),
        (["parallelism=fsdp1"], "parallelism=fsdp1 has them in flat pieces alone: use parallelism=ddp or fsdp2"),
        (["precision=amp_fp16"], "too small for precision=amp_fp16"),
        (["algorithms.tartan.examples=0"], "algorithms.tartan.examples=0 must be positive"),
        (["algorithms.tartan.lr=-1"], "algorithms.tartan.lr=-1.0 must be positive"),
    ],
)
def test_what_cannot_be_supported_is_refused_at_once(run_yaml, overrides, message):
    with pytest.raises(ValueError, match=message):
        load_config(run_yaml, [*META, *overrides])


def test_a_validation_split_that_is_too_small_is_named(run_yaml):
    with pytest.raises(ValueError, match=r"head_examples=16 and examples=64 are more than .*has \(64\)"):
        train(load_config(run_yaml, META))
