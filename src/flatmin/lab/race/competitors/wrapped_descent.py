"""Gradient descent in the wrappers of `flatmin.nn.optimizers`: SAM, label noise, weight decay, scaled gradients."""

from torch import nn
from torch.optim import Optimizer

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.tasks import FactoredTask, Task
from flatmin.nn.optimizers import label_noise, sam, scaled_gradient, weight_decay

__all__ = ["COMPETITORS", "SAM", "LabelNoise", "ScaledGradient", "WeightDecay"]


class SAM(Competitor):
    """Sharpness-aware minimization with the gradient at ``w + ρ ∇f/‖∇f‖``; a step costs two gradients.

    The strength is ρ divided by `Task.weight_norm`. SAM is said to minimise the largest eigenvalue of the
    Hessian with all data in each step, and the trace with one sample in each step.
    """

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return gradient descent with gradients at the worst weights nearby."""
        rho = (entry.strength or 0.0) * entry.task.weight_norm
        return sam.SAM(super().optimizer(model, loss, entry), model, loss, rho=rho)


class LabelNoise(Competitor):
    """Gradient descent with fresh noise on the targets in every step.

    The strength is the standard deviation of the noise divided by the root mean square of the targets. For class
    numbers it is ten times the probability of a random class. On the zero-loss set the noise moves the weights against
    the gradient of the trace, as a penalty η σ²/(2 B) on the Hessian trace does for step size η and B samples.
    """

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return gradient descent on noisy targets."""
        noise = (entry.strength or 0.0) * entry.task.label_scale
        return label_noise.LabelNoise(super().optimizer(model, loss, entry), model, loss, noise=noise, seed=entry.seed)


class WeightDecay(Competitor):
    """Gradient descent with a penalty on the squared norm of the weights.

    The strength s is ``(decay/2) weight_norm² / (loss of the zero prediction)``. For a product the penalty is the
    nuclear norm of the matrix.
    """

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return gradient descent with decay."""
        decay = 2 * (entry.strength or 0.0) * entry.task.zero_loss / entry.task.weight_norm**2
        return weight_decay.WeightDecay(super().optimizer(model, loss, entry), model, loss, decay=decay)


class ScaledGradient(Competitor):
    """Gradients of each factor times the inverse Gram matrix of the other factor, ``(QᵀQ + ε)⁻¹``.

    The strength is ε divided by the square of a natural weight and by the smaller dimension. The speed does not depend
    on the condition number of the matrix. The model must be a product of two factors.
    """

    def optimizer(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Optimizer:
        """Return gradient descent in the metric of the factors."""
        assert isinstance(entry.task, FactoredTask)
        damping = (entry.strength or 0.0) * entry.task.weight_scale**2 * min(entry.task.problem.shape)
        return scaled_gradient.ScaledGradient(super().optimizer(model, loss, entry), model, loss, damping=damping)

    def objection(self, task: Task) -> str | None:
        """Return an objection to models that are not a product of two factors."""
        if not isinstance(task, FactoredTask) or not task.problem.parametrization.has_cone_norm:
            return "the model is not a product of two factors"
        return super().objection(task)

    def unit(self, task: Task) -> float:
        """Return 1 / (curvature of the loss as a function of the matrix)."""
        assert isinstance(task, FactoredTask)
        return 1 / task.matrix_curvature


COMPETITORS = [
    SAM(
        name="sam",
        title="SAM, full batch",
        claims="the largest eigenvalue of the Hessian",
        source="Foret et al. 2021; Wen, Ma, Li 2022, arXiv 2211.05729",
        strength=0.02,
        decays=True,
    ),
    SAM(
        name="sam-batch-one",
        title="SAM, batch one",
        claims="the trace of the Hessian",
        source="Wen, Ma, Li 2022, arXiv 2211.05729",
        batch=1,
        strength=0.02,
        decays=True,
    ),
    LabelNoise(
        name="label-noise",
        title="Label noise",
        claims="the trace of the Hessian on the zero-loss set",
        source="Blanc et al. 2020; Damian, Ma, Lee 2021; Li, Wang, Arora 2021",
        batch=16,
        strength=0.7,
        decays=True,
    ),
    WeightDecay(
        name="weight-decay",
        title="Weight decay",
        claims="the norm of the weights",
        source="Srebro, Rennie, Jaakkola 2005",
        strength=0.15,
    ),
    ScaledGradient(
        name="scaled-gradient",
        title="Scaled gradient descent",
        claims="the loss, at a speed free of conditioning",
        source="Tong, Ma, Chi 2021; Xu, Shen, Chi, Ma 2023",
        size="small",
        steps=(1 / 32, 1.0),
        strength=1.0,
    ),
]
