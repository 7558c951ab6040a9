import dataclasses
import shutil

import pytest
import torch
from tape import stand_in
from torch import nn

from gantutor import losses, models, penalties, train
from gantutor.data import Images, faces, toy
from gantutor.errors import BadInput, OutOfMemory
from gantutor.train import Recipe, Run, accelerate, augment, validate

POINTS = toy.ring().sample(64, seed=0)
RECIPE = Recipe(batch_size=8, penalty_every=4, decay_from=0.3)
CPU = torch.device("cpu")


def points_pair(**changes):
    sizes = dict(shape=(2,), latent_dim=3, g_hidden=(16,), d_hidden=(16,), output="linear") | changes
    return models.mlp(**sizes)


def pictures(n=32):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(n, 1, 28, 28, generator=generator) * 2 - 1
    return Images("test", pixels, torch.arange(n) % 10, tuple("0123456789"))


def small_dcgan(**changes):
    return models.dcgan(latent_dim=3, g_width=2, d_width=2, hidden=4, **changes)


def colour_pictures():
    return faces.draw(32, seed=0, size=32).pixels / 127.5 - 1


def colour_dcgan():
    return small_dcgan(shape=(3, 32, 32))


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.state_dict().values()])


def numbers(run, n):
    return [(s.d_loss.item(), s.g_loss.item(), s.real_logits.tolist(), s.fake_logits.tolist()) for s in run.steps(n)]


# --- CUDA graphs, on a stand-in --------------------------------------------------------------------------------------


@pytest.fixture
def tape(monkeypatch):
    """Runs made after ``tape(True)`` are captured, by the stand-in."""
    stand_in(monkeypatch)

    def switch(on):
        monkeypatch.setattr(validate, "choose_capture", lambda *_: on)

    return switch


CASES = {
    "default": (points_pair, POINTS, {}),
    "points of WGAN-GP, several D steps": (
        lambda: points_pair(spectral=True),
        POINTS,
        dict(penalty=penalties.wgan_gp, d_steps=2, gamma=0.1),
    ),
    "paired loss, no penalty": (points_pair, POINTS, dict(loss=losses.RELATIVISTIC, penalty=None)),
    "conditional DCGAN": (lambda: small_dcgan(classes=10), pictures(), {}),
}


@pytest.mark.parametrize(("pair", "data", "changes"), CASES.values(), ids=CASES)
def test_a_captured_run_takes_the_steps_of_an_eager_one(tape, pair, data, changes):
    """Over 50 steps in which learning rates fall, the average's decay ramps and the lazy penalty comes and goes."""
    runs, seen = [], []
    for captured in (False, True):
        tape(captured)
        runs.append(Run(*pair(), data, dataclasses.replace(RECIPE, **changes), seed=1))
        seen.append(numbers(runs[-1], 50))
    assert seen[0] == seen[1]
    for net in ("G", "D", "G_ema"):
        assert torch.equal(*(weights(getattr(run, net)) for run in runs))
    assert len(runs[1].turn.recorded) == (2 if runs[1].recipe.penalty else 1)


@pytest.mark.parametrize("make", [augment.DiffAugment, lambda: augment.ADA(target=-0.99, images=200)])
def test_an_augmented_run_is_captured_too(tape, make):
    """ADA's probability changes between the steps, in the tensor that the graph reads."""
    runs, seen = [], []
    for captured in (False, True):
        tape(captured)
        runs.append(Run(*colour_dcgan(), colour_pictures(), RECIPE, seed=1, augment=make()))
        seen.append(numbers(runs[-1], 12))
    assert seen[0] == seen[1]
    assert torch.equal(*(weights(run.G) for run in runs))
    assert runs[0].augment.state() == runs[1].augment.state()


def test_a_run_that_trained_before_it_was_captured_goes_on(tape):
    runs = []
    for captured in (False, True):
        tape(captured)
        run = Run(*points_pair(), POINTS, RECIPE, seed=1)
        list(run.steps(6))
        if captured:
            run.turn.recorded.clear()  # as after loading: optimizer states exist when the graph is recorded
        list(run.steps(6))
        runs.append(run)
    assert torch.equal(*(weights(run.G_ema) for run in runs))


def test_the_stand_in_keeps_numbers_as_a_cuda_graph_does(tape):
    """Else the tests above would not see a learning rate that is a Python number."""
    rate, total, random = [1.0], torch.zeros(1), torch.Generator().manual_seed(0)
    captured = accelerate.Captured(lambda: [total.add_(rate[0]), torch.rand(2, generator=random)], [random], CPU)
    total.zero_()
    rate[0] = 5.0
    first, second = ([t.clone() for t in captured()] for _ in range(2))
    assert (first[0].item(), second[0].item()) == (1, 2)
    assert not torch.equal(first[1], second[1])


def test_a_step_that_cannot_be_captured_is_named(tape):
    tape(True)

    def waiting(real_logits, fake_logits):
        return fake_logits.mean() * (2 if real_logits.mean().item() > 0 else 1)

    own = losses.Loss("own", waiting, losses.non_saturating_g)
    run = Run(*points_pair(), POINTS, dataclasses.replace(RECIPE, loss=own))
    nets = [weights(net) for net in (run.G, run.D, run.G_ema)]
    order, stream = run.source.order.get_state(), run.randomness.state
    with pytest.raises(BadInput, match="cannot be recorded as a CUDA graph.*not permitted.*capture=False"):
        list(run.steps(1))
    for net, before in zip((run.G, run.D, run.G_ema), nets, strict=True):
        assert torch.equal(weights(net), before)  # the warm-up has left no trace
    assert torch.equal(run.source.order.get_state(), order)
    assert all(map(torch.equal, run.randomness.state, stream))


def test_why_a_recording_failed_is_what_happened_first():
    """A recording that breaks off fails a second time when it is ended."""
    ending = RuntimeError("operation failed due to a previous error during capture")
    for cause, told in [
        (RuntimeError("operation not permitted when stream is capturing"), "not permitted when stream is capturing"),
        (torch.OutOfMemoryError("CUDA out of memory"), "CUDA out of memory"),
    ]:
        ending.__context__ = cause
        assert told in str(accelerate.explained(ending))
    assert isinstance(accelerate.explained(ending), torch.OutOfMemoryError)
    assert isinstance(accelerate.explained(RuntimeError("shapes do not match")), RuntimeError)
    assert not isinstance(accelerate.explained(RuntimeError("shapes do not match")), BadInput)


def test_steps_of_a_captured_run_keep_their_values(tape):
    tape(True)
    steps = list(Run(*points_pair(), POINTS, RECIPE, seed=1).steps(3))
    assert len({step.d_loss.item() for step in steps}) == 3
    assert len({step.fake_logits.data_ptr() for step in steps}) == 3


def test_traceless_puts_back_weights_buffers_and_optimizer_states():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    fresh, used = (torch.optim.Adam(net.parameters()) for _ in range(2))

    def step(optimizer):
        optimizer.zero_grad()
        net(torch.randn(4, 2)).square().sum().backward()
        optimizer.step()

    step(used)
    tensors = [*net.state_dict().values(), *(v for state in used.state.values() for v in state.values())]
    before = [t.clone() for t in tensors]
    with accelerate.traceless([net], [fresh, used]):
        step(fresh), step(used)
        assert not torch.equal(tensors[0], before[0])
    for tensor, old in zip(tensors, before, strict=True):
        assert torch.equal(tensor, old)
    assert all(not value.any() for state in fresh.state.values() for value in state.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", accelerate.PRECISIONS)
@pytest.mark.parametrize(("pair", "data", "changes"), CASES.values(), ids=CASES)
def test_on_cuda_a_captured_run_agrees_with_an_eager_one(pair, data, changes, precision, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    recipe = dataclasses.replace(RECIPE, **changes)
    eager, captured = (
        Run(*pair(), data, recipe, seed=1, device="cuda", capture=c, precision=precision) for c in (False, True)
    )
    losses_of = [[(s.d_loss.item(), s.g_loss.item()) for s in run.steps(50)] for run in (eager, captured)]
    torch.testing.assert_close(*map(torch.tensor, losses_of), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(weights(eager.G), weights(captured.G), rtol=1e-2, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("make", [augment.DiffAugment, lambda: augment.ADA(target=-0.99, images=200)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_cuda_an_augmented_run_is_captured_too(make, precision):
    eager, captured = (
        Run(*colour_dcgan(), colour_pictures(), RECIPE, seed=1, device="cuda", capture=c, precision=precision,
            augment=make()) for c in (False, True)
    )  # fmt: skip
    losses_of = [[(s.d_loss.item(), s.g_loss.item()) for s in run.steps(20)] for run in (eager, captured)]
    torch.testing.assert_close(*map(torch.tensor, losses_of), rtol=1e-2, atol=1e-2)
    assert eager.augment.state() == pytest.approx(captured.augment.state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_a_step_that_waits_is_refused_and_leaves_no_trace():
    def waiting(real_logits, fake_logits):
        return fake_logits.mean() * (2 if real_logits.mean().item() > 0 else 1)

    recipe = dataclasses.replace(RECIPE, loss=losses.Loss("own", waiting, losses.non_saturating_g))
    run = Run(*points_pair(), POINTS, recipe, device="cuda", capture=True)
    before = weights(run.D)
    with pytest.raises(BadInput, match="cannot be recorded as a CUDA graph"):
        list(run.steps(1))
    assert torch.equal(weights(run.D), before)
    list(Run(run.G, run.D, POINTS, RECIPE, device="cuda", capture=True).steps(2))  # the device is as good as new


# --- 16 bits ---------------------------------------------------------------------------------------------------------


def test_bf16_is_used_inside_the_nets_and_nowhere_else():
    seen = []

    def spying_penalty(D, real, fake):
        seen.append(D(real).dtype)
        return penalties.r1(D, real, fake)

    recipe = dataclasses.replace(RECIPE, penalty=spying_penalty)
    runs = {p: Run(*points_pair(), POINTS, recipe, seed=1, precision=p) for p in accelerate.PRECISIONS}
    inside = []
    for net in (runs["bf16"].G, runs["bf16"].D):
        net.net[1].register_forward_hook(lambda layer, given, made: inside.append((layer, made.dtype)))
    steps = {p: list(run.steps(5))[-1] for p, run in runs.items()}
    for net in (runs["bf16"].G, runs["bf16"].D):
        assert (net.net[1], torch.bfloat16) in inside
    assert set(seen) == {torch.float32}
    for tensor in (steps["bf16"].d_loss, steps["bf16"].fake_logits, *runs["bf16"].G.parameters()):
        assert tensor.dtype == torch.float32
    assert steps["bf16"].d_loss.item() != steps["fp32"].d_loss.item()
    assert steps["bf16"].d_loss.item() == pytest.approx(steps["fp32"].d_loss.item(), rel=0.05)


def test_a_precision_that_does_not_exist_or_does_not_work_is_named(monkeypatch):
    with pytest.raises(BadInput, match="unknown precision 'bf18': did you mean 'bf16'"):
        Run(*points_pair(), POINTS, RECIPE, precision="bf18")

    def refuse(*args, **kwargs):
        raise RuntimeError("no such arithmetic\nmore")

    monkeypatch.setattr(torch, "autocast", refuse)
    with pytest.raises(BadInput, match=r"bf16 cannot be used on cpu: no such arithmetic\. Use fp32"):
        Run(*points_pair(), POINTS, RECIPE, precision="bf16")


# --- torch.compile ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # of the compiler itself
def test_a_compiled_run_agrees_with_an_eager_one():
    runs = [Run(*points_pair(), POINTS, RECIPE, seed=1, compile=c) for c in (False, True)]
    seen = [[(s.d_loss.item(), s.g_loss.item()) for s in run.steps(8)] for run in runs]
    assert runs[1].D_pass.function is not runs[1].D
    torch.testing.assert_close(*map(torch.tensor, seen), rtol=1e-4, atol=1e-5)


def test_a_compiler_that_is_missing_is_named(monkeypatch):
    def broken(function):
        def call(*args):
            raise RuntimeError("\n  InvalidCxxCompiler: No working C++ compiler found.\n\nmore")

        return call

    accelerate.check_compile.cache_clear()  # it may have worked in another test
    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(BadInput, match=r"does not work here on cpu: InvalidCxxCompiler.*found\. Train without it"):
        Run(*points_pair(), POINTS, RECIPE, compile=True)


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 999 bytes"),
    ],
    ids=["CUDA", "MPS", "CPU"],
)
def test_out_of_memory_names_the_batch_size_and_a_smaller_one(error):
    def raising(*_):
        raise error

    run = Run(*points_pair(), POINTS, RECIPE)
    run.D.register_forward_hook(raising)
    with pytest.raises(OutOfMemory, match="cpu ran out of memory at batch size 8: try 4"):
        list(run.steps(1))
    assert run.step == 0


def test_memory_that_runs_out_before_the_first_step_is_told_too():
    def raising(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    for player in (0, 1):
        pair = points_pair()
        pair[player].register_forward_hook(raising)
        with pytest.raises(OutOfMemory, match="cpu ran out of memory at batch size 8: try 4"):
            Run(*pair, POINTS, RECIPE)


def test_other_errors_are_not_taken_for_it():
    with pytest.raises(RuntimeError, match="shapes"), accelerate.telling_memory(CPU, 8):
        raise RuntimeError("shapes do not match")
    with pytest.raises(OutOfMemory, match="batch size 1: try a smaller net"), accelerate.telling_memory(CPU, 1):
        raise torch.OutOfMemoryError("no")


def test_learning_rates_are_tensors_only_where_they_are_captured(tape):
    tape(True)
    captured = Run(*points_pair(), POINTS, RECIPE)
    address = captured.opt_d.param_groups[0]["lr"].data_ptr()
    train.set_learning_rate(captured.opt_d, 0.5)
    assert captured.opt_d.param_groups[0]["lr"].item() == 0.5
    assert captured.opt_d.param_groups[0]["lr"].data_ptr() == address
    tape(False)
    assert isinstance(Run(*points_pair(), POINTS, RECIPE).opt_d.param_groups[0]["lr"], float)
