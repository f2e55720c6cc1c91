"""From the settings of a run to its trainer and its device."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch.optim import Optimizer

from associated_learning.errors import InputError
from associated_learning.network import Network
from associated_learning.runs.networks.growth import growth_of
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.runs.tasks.metric import epoch_metric_name
from associated_learning.state.freezing import encoders_in
from associated_learning.state.optimizers import Schedule
from associated_learning.state.schedules import make_schedule, turn_schedule
from associated_learning.tensors.float32_products import use_fast_products
from associated_learning.training.length import enough_epochs, patient_epochs, updates_of
from associated_learning.training.trainer import Trainer

__all__ = ["choose_device", "make_trainer", "placed", "set_up_torch", "store_folder"]

_OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}


def make_trainer(
    config: ResolvedConfig, batches: int, net: Network, *, folder: Path | None = None
) -> Trainer:
    """Make the trainer of a run.

    Args:
        config: The settings.
        batches: Number of batches of an epoch, of which several may make an update.
        net: The network with all its layers, also those that it has yet to grow.
        folder: Of the run, for its store on disk; None to leave it where it would be.
    """
    encoders = len(encoders_in(net))
    optimizer = _OPTIMIZERS[config.optimizer]
    updates = updates_of(batches, config.gradient_accumulation_steps)
    epochs = enough_epochs(updates, epochs=config.epochs, updates=config.min_updates)
    patience = patient_epochs(updates, epochs=config.patience, updates=config.patience_updates)
    return Trainer(
        epochs=epochs,
        optimizer=optimizer,
        lr=config.lr,
        encoder_lr=_encoder_rates(config, encoders),
        freeze=_frozen(config.freeze),
        target_warmup=config.target_warmup,
        optimizer_options={"weight_decay": config.weight_decay},
        schedule=_schedules(config, epochs * updates, encoders),
        schedule_every="step",
        clip=config.clip or None,
        precision=torch.bfloat16 if config.precision == "bf16" else None,
        compile=config.compile,
        patience=patience or None,
        min_updates=0 if config.patience_updates else config.min_updates,
        judge=config.judge,
        metric=epoch_metric_name(config),
        seed=config.seed,
        save_every=config.save_every,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        executor=config.executor,
        stages=config.stage_sizes,
        replicas=config.replicas,
        wire=torch.bfloat16 if config.wire == "bf16" else None,
        growth=growth_of(config, net),
        store=store_folder(config.store, folder),
        window=config.window,
        memory=config.memory,
        recompute=config.recompute,
    )


def store_folder(name: str, folder: Path | None) -> Path | str:
    """Return where the state of layers lies: in host memory, with the run, or in a folder."""
    return name if name != "disk" else (folder or Path()) / "store"


def _schedules(
    config: ResolvedConfig, steps: int, encoders: int
) -> Schedule | list[Schedule | None] | None:
    """Return one schedule for all layers, or for each that of its turn."""
    if config.greedy:
        return [turn_schedule(layer, encoders, steps) for layer in range(encoders)]
    return make_schedule(config.schedule, steps=steps, warmup=config.warmup)


def _encoder_rates(config: ResolvedConfig, count: int) -> float | list[float] | None:
    """Return the learning rates of the encoders, from the input up."""
    if config.encoder_lr_decay is None:
        return config.encoder_lr
    top = config.lr if config.encoder_lr is None else config.encoder_lr
    return [top * config.encoder_lr_decay ** (count - i) for i in range(1, count + 1)]


def _frozen(text: str | None) -> int | list[str]:
    """Return what to freeze: a number of encoders, or names of modules."""
    if text is None or text.isdecimal():
        return int(text or 0)
    return [name.strip() for name in text.split(",") if name.strip()]


def set_up_torch(config: ResolvedConfig) -> None:
    """Set how this process computes: threads in operations, small numbers, float32 products."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.set_flush_denormal(config.flush_denormals)
    use_fast_products()


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is a GPU where there is one.

    Of several GPUs the processes that ``torchrun`` started on a machine take one each.

    Raises:
        InputError: There is no such device here.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        number = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
        return torch.device("cuda", number)
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # "meta" makes tensors, but computes nothing
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"--device {name} cannot be used here ({str(error).splitlines()[0]}); use auto or cpu."
        ) from error
    return device


def placed(net: Network, device: torch.device) -> Network:
    """Return a network on a device; GPUs convolve fastest where channels lie side by side."""
    if device.type != "cuda":
        return net.to(device)
    return net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
