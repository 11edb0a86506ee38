"""Schedule: the settings of the rounds of the augmented Lagrangian method."""

from dataclasses import dataclass

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """Settings of the rounds: when rounds end, how rho (the weight of the squared misfit) grows, when fits are tried.

    Gradients, gaps and misfits are relative. The data are scaled so that the norm of the first dual matrix is one.

    Attributes
    ----------
    max_rounds, max_changes, max_steps : int
        Largest number of rounds, of changes of rank in a round, and of Newton steps between two such changes.
    first_rho, max_rho : float
        ``first_rho`` is the first rho. Above ``max_rho``, the data count as contradictory if the misfit no longer
        shrinks.
    growth, quick_growth : float
        Rho is multiplied by ``growth`` after a round that shrinks the misfit slowly, and by ``quick_growth`` after
        another round that needs at most two Newton steps with a factorized Hessian.
    moderate_penalty : float
        Largest penalty at which the problem is so well conditioned that no multiplier is needed.
    first_rank, further_ranks : int
        ``first_rank`` is the largest number of columns of the start. It is multiplied by ``further_ranks`` if data are
        ample and the singular values of the first dual matrix drop most at a larger rank.
    first_accuracy : float
        Accuracy of the directions of the start.
    min_added : int
        Number of columns that may always be added to the factors at a time; otherwise their number at most doubles.
    first_tol, min_tol : float
        Gradient at the end of the first round, and the smallest gradient that later rounds must reach.
    refined_gap, extra_rounds, small_problem : float, int, int
        A proof of uniqueness needs a good dual vector, so after the tolerance is met a few rounds aim at the gap
        ``refined_gap``. Their number is at most ``extra_rounds`` if the Hessian is factorized or there are at most
        ``small_problem`` unknowns, and one or none otherwise.
    polished_gap : float
        Gap above which the multiplier is corrected at an exact fit.
    ample_data : float
        Ratio of measurements to degrees of freedom from which an exact fit is tried at once.
    promising_gap, near_misfit : float
        An exact fit is tried if the misfit is at most ``near_misfit`` and the gap, divided by the tolerance, is at most
        ``promising_gap``.
    close_misfit : float
        Misfit below which an exact fit is tried if the degrees of freedom exceed the number of data. The multiplier is
        then kept, because it has more conditions to meet than free values.
    hasty_steps : int
        Number of Newton steps after which a round with a good multiplier looks for further columns.
    last_tol, last_steps : float, int
        A round with a good multiplier ends with at most ``last_steps`` undamped steps, which reduce the gradient to
        ``last_tol`` times the tolerance of the round.
    slack, tight_slack : float
        A column is added for a singular value of the dual matrix that exceeds one by this many tolerances of the
        gradient. The number ``tight_slack`` is for rounds with a good multiplier, where singular values just above one
        cause most of the gap.
    slow, patience : float, int
        A round is stalled if it leaves more than the share ``slow`` of the misfit (without a multiplier: of the gap).
        The method ends after ``patience`` stalled rounds in a row, if they are due to contradictory data or rounding
        errors.
    contradiction : float
        A gap below ``-contradiction`` shows that the data contradict each other.
    """

    max_rounds: int = 60
    max_changes: int = 12
    max_steps: int = 40
    first_rho: float = 10.0
    max_rho: float = 1e9
    growth: float = 4
    quick_growth: float = 8
    moderate_penalty: float = 100.0
    first_rank: int = 10
    further_ranks: int = 3
    first_accuracy: float = 0.1
    min_added: int = 4
    first_tol: float = 5e-2
    min_tol: float = 1e-11
    refined_gap: float = 1e-10
    extra_rounds: int = 3
    small_problem: int = 1000
    polished_gap: float = 5e-13
    ample_data: float = 3.0
    promising_gap: float = 30.0
    near_misfit: float = 3e-2
    close_misfit: float = 1e-4
    hasty_steps: int = 3
    last_tol: float = 0.2
    last_steps: int = 10
    slack: float = 3.0
    tight_slack: float = 0.5
    slow: float = 0.7
    patience: int = 3
    contradiction: float = 1e-2
