"""SweepSchedule: the settings of sweeps over penalised cells and of the Newton steps after them."""

from dataclasses import dataclass

__all__ = ["SCHEDULE", "SweepSchedule"]


@dataclass(frozen=True)
class SweepSchedule:
    """Settings of sweeps (to which problems they apply, their stages at decreasing alphas) and of Newton's method."""

    #: Smallest `relative_alpha` for sweeps. At smaller ones the fit is nearly exact, and sweeps hardly change it.
    min_alpha: float = 1e-7
    max_weight_ratio: float = 1e12  #: Largest ratio of weights that single precision can hold.
    #: Estimated norm of the dual matrix of the data below which the solution is certainly zero. For the exact norm the
    #: limit would be one.
    surely_zero: float = 0.1
    alpha_ratio: float = 3.0  #: Ratio of the alphas of two successive stages.
    stage_change: float = 3e-3  #: Relative change of the objective at which a stage ends.
    last_change: float = 1e-4  #: Relative change of the objective at which the last stage ends.
    double_below: float = 1e-6  #: Relative change of the objective below which sweeps run in double precision.
    max_sweeps: int = 200  #: Largest number of sweeps in a stage.
    min_added: int = 8  #: Number of columns that may always be added at a time.
    growth: int = 3  #: Number of columns that may be added at a time, in units of those before.
    at_once: int = 32  #: Largest rank allowed up to which all columns may be added at a time.
    #: Columns whose singular values are at most this multiple of the last change of the objective are dropped, if the
    #: objective hardly rises. The multiples are tried in this order.
    dropped: tuple[float, ...] = (0.5, 0.05, 0.005)
    max_rounds: int = 40  #: Largest number of rounds of Newton's method.
    #: Smallest relative change of the objective that a solution of the largest rank allowed has to reach if further
    #: columns would lower the objective by far.
    capped_change: float = 1e-6
    #: Relative gradient at which a solution of the largest rank allowed may end the rounds.
    settled: float = 1e-4
    #: Estimated norm of the dual matrix above which the largest rank allowed binds by far. It is then only bounded.
    far: float = 1.05
    useful: float = 1.02  #: Singular value of the dual matrix above which a new column is worth a sweep.


SCHEDULE = SweepSchedule()
