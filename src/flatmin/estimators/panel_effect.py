"""The effect of a treatment in a panel, by comparison with counterfactuals from a low-rank matrix."""

from dataclasses import field, replace
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from flatmin._core.arrays import Array
from flatmin._core.limits import Limits
from flatmin._core.validation import is_whole, positive, shown
from flatmin.errors import InputError
from flatmin.estimators._completion.fitting import ZERO_MARGIN, Settings, complete, regularization
from flatmin.estimators._completion.observations import Observations
from flatmin.estimators._declaration import estimator
from flatmin.estimators._panel.panel import Panel, mean_along
from flatmin.estimators._panel.placebos import MIN_PLACEBOS, Placebos, cells_of, expect_variation, modelled
from flatmin.estimators.base import FlatEstimator
from flatmin.solvers.alphas.path import alpha_max, geometric
from flatmin.solvers.offsets.offsets import Offsets

__all__ = ["PanelEffect"]

#: Number of strengths on a path, and the ratio of the weakest to the strongest.
STRENGTHS, RATIO = 16, 1e-3
#: Colours of the observed outcomes, the counterfactual and the first treated period in a plot.
OBSERVED, COUNTERFACTUAL, START = "#d1495b", "#1b6ca8", "#777777"


@estimator
class PanelEffect(FlatEstimator):
    """Estimate what a treatment changed in the treated units of a panel: the average effect on the treated.

    The treated cells are hidden. Their counterfactuals, the outcomes without treatment, are predicted from all other
    cells by ``Y_it = g + a_i + b_t + x_itᵀ β + l_iᵀ r_t``. The effects a of units and b of periods are not penalised
    (two-way fixed effects), nor the slopes β of covariates, and the matrix is that of `PairRegressor`. Differences in
    differences have no matrix, so they assume that all units have parallel trends. Here units may react differently to
    common shocks.

    Errors come from placebo treatments: controls are treated in the pattern of the treated units, the same cells are
    hidden, and the estimated effects, whose true value is zero, are the errors. Intervals of single cells are no
    substitute: the errors of the cells of a unit are correlated, and the standard error of an average from independent
    cells would be several times too small (eight times in California's cigarette sales).

    Parameters
    ----------
    alpha : float or "auto"
        Strength of the penalty in the units of `PairRegressor`, positive. "auto" is the strength at which placebo
        effects have the smallest mean squared error. Random cells, as in `PairRegressor`, would be too easy to
        predict: they have neighbours in time.
    metric_power : float
        p in the norm ``‖D1^p X D2^p‖_*`` of the matrix: 1 is flat, 0 the nuclear norm.
    refit : bool or "auto"
        Whether counterfactuals come from a refit: the least-squares fit at the rank found, which is the estimator of
        interactive fixed effects. The penalty shrinks factors, and effects are then biased towards those of two-way
        fixed effects. A refit is free of this bias, but has larger errors if factors are weak, and no certificate.
        "auto" refits if that makes the squared error of placebos smaller by more than one standard error.
    n_placebos : int
        The largest number of placebos, at least 9. One treated unit has as many placebos as there are controls.

    Attributes
    ----------
    att_ : float
        The average effect on the treated: the mean of ``effects_``.
    att_std_error_ : float
        The standard deviation of the placebo effects.
    p_value_ : float
        The rank p-value of no effect, two-sided: the share of placebo effects, ``att_`` included, that are at least as
        large in absolute value. It has its level if the treated units could as well have been any others.
    counterfactual_ : ndarray, shape (n_units, n_periods)
        The outcomes without treatment: predictions in treated cells, fitted values elsewhere.
    effects_ : ndarray, shape (n_units, n_periods)
        Outcome minus counterfactual in treated cells, NaN elsewhere.
    effects_by_unit_, effects_by_period_ : ndarray, shapes (n_units,) and (n_periods,)
        Means of ``effects_`` over periods, and over units; NaN without treated cells.
    pre_rmse_ : float
        Root mean squared residual of treated units before their treatment. Placebos have theirs in ``placebos_``.
    pre_rmse_by_unit_ : ndarray, shape (n_units,)
        The same for each treated unit, NaN for controls.
    placebos_ : Placebos
        The placebo treatments: units, candidates, errors, effects, ``pre_rmse`` and gaps by period.
    treated_mean_, counterfactual_mean_ : ndarray, shape (n_periods,)
        Means over treated units of the outcomes and of ``counterfactual_``.
    row_factors_, column_factors_ : ndarray, shapes (n_units, rank) and (n_periods, rank)
        The factors of the matrix: the loadings l of units, and the common shocks r of periods.
    offsets_ : Offsets
        The constant and the effects of units and of periods.
    coef_, covariates_ : ndarray, shape (p,)
        The slopes of the covariates in their units, and the names of the covariates.
    alpha_ : float
        The strength of the penalty.
    units_, periods_ : ndarray
        The labels of rows and columns of a pandas frame, else their positions.

    Notes
    -----
    A placebo panel has controls only. If the strength is chosen, then for each placebo by the errors of all others, and
    for the treated units by those of all placebos; so no placebo takes part in the choice of its own strength, as the
    treated units take no part in theirs. This needs no further fits. The rank test and the interval hold on average
    over which units are treated; they do not if treated units were chosen because of what they had to expect.

    With several treated units a placebo draws as many controls at random, each with the pattern of one treated unit. As
    it leaves fewer controls for comparison, standard errors are too large rather than too small if a large share of
    units is treated.

    References
    ----------
    Athey, Bayati, Doudchenko, Imbens, Khosravi, "Matrix completion methods for causal panel data models", Journal of
    the American Statistical Association 116, 2021. Abadie, Diamond, Hainmueller, "Synthetic control methods for
    comparative case studies", Journal of the American Statistical Association 105, 2010 (placebos). Bai, "Panel data
    models with interactive fixed effects", Econometrica 77, 2009 (the refit).

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin import PanelEffect
    >>> rng = np.random.default_rng(0)
    >>> Y = np.outer(rng.standard_normal(20), np.arange(12.0)) + rng.standard_normal((20, 1))
    >>> Y += 0.1 * rng.standard_normal(Y.shape)
    >>> treated = np.zeros(Y.shape, dtype=bool)
    >>> treated[3, 8:] = True
    >>> Y[treated] += 2
    >>> model = PanelEffect().fit(Y, treated)
    >>> bool(abs(model.att_ - 2) < 0.2), round(model.p_value_, 2)
    (True, 0.05)
    """

    saved_classes: ClassVar[tuple[type, ...]] = (Offsets, Placebos)

    alpha: Any = field(default="auto", kw_only=False)
    metric_power: float = 1.0
    refit: Any = "auto"
    n_placebos: int = 100

    def fit(self, Y: Any, treated: Any, covariates: Any = None) -> Self:
        """Estimate the effect of a treatment.

        Parameters
        ----------
        Y : array_like, shape (n_units, n_periods)
            The outcomes, a unit in each row; periods ascend. NaN and None are missing.
        treated : array_like of bool, shape (n_units, n_periods)
            True in treated cells. Each unit may have its own periods of treatment, and at least one of them an outcome
            before. Frames must have the labels of Y.
        covariates : mapping of tables, or array_like, shape (n_units, n_periods, p), optional
            Covariates that vary over time differently between units, as a mapping from names to tables like Y, or one
            array. Their slopes are not penalised. They must be known, and not changed by the treatment, in treated
            cells too: a covariate that the treatment changes takes a part of the effect.

        Raises
        ------
        InputError
            If Y or a parameter cannot be used, nothing or everything is treated, a treated unit has no outcome before
            its treatment, controls allow fewer than 9 placebos, or a covariate is a function of the unit plus one of
            the period, which the free effects contain.
        """
        self._check()
        if not is_whole(self.n_placebos) or self.n_placebos < MIN_PLACEBOS:
            raise InputError(
                f"n_placebos is {shown(self.n_placebos)}, expected a whole number of at least {MIN_PLACEBOS}"
            )
        panel = Panel.from_tables(Y, treated, covariates)
        cells, seed = cells_of(panel), self._seed()
        expect_variation(panel, cells)
        settings = Settings(self.metric_power, self.max_rank, self.tol, self.max_iter, seed)
        strengths = self._strengths(cells, settings)
        kinds = (False, True) if isinstance(self.refit, str) else (bool(self.refit),)
        self.placebos_ = Placebos.fitted(
            panel,
            int(self.n_placebos),
            [(kind, strengths) for kind in kinds],
            settings.metric_power,
            Limits(self.max_rank, self.tol, self.max_iter, seed=seed),
            self._show if self.verbose else None,
        )
        with self._watched() as callback:
            found = complete(cells, *self.placebos_.candidate, replace(settings, callback=callback))
        self.alpha_, self.offsets_ = self.placebos_.candidate[0], found.offsets
        self.row_factors_, self.column_factors_ = found.factors
        self.covariates_ = panel.covariates.names
        self.coef_ = found.offsets.cell_slopes / panel.covariates.deviations
        self._keep_effects(panel, modelled(found.factors, found.offsets))
        self._record(found.solution, found.factors)
        return self

    def att_interval(self, confidence_level: float = 0.9) -> tuple[float, float]:
        """Return the interval (low, high) of the average effect, from the quantile of absolute placebo effects.

        It has all constant effects that the rank test does not reject. n placebos allow a confidence level of at most
        n / (n + 1); a larger one raises `InputError`.
        """
        check_is_fitted(self)
        half = self.placebos_.half_width(positive(confidence_level, "confidence_level", below=1.0))
        return self.att_ - half, self.att_ + half

    def plot(self, ax: Any = None, confidence_level: float = 0.9) -> Any:
        """Draw the mean outcome of treated units and of their counterfactual over periods; return the axes.

        The band around the counterfactual has in each period the given share of the placebos.
        """
        check_is_fitted(self)
        level = positive(confidence_level, "confidence_level", below=1.0)
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(7.0, 4.2), layout="constrained").subplots()
        periods, expected, half = self.periods_, self.counterfactual_mean_, self.placebos_.band(level)
        first = periods[int(np.argmax(~np.isnan(self.effects_by_period_)))]
        share, low, high = f"{100 * level:g} % of placebos", expected - half, expected + half
        ax.fill_between(periods, low, high, color=COUNTERFACTUAL, alpha=0.2, linewidth=0, label=share)
        ax.plot(periods, expected, color=COUNTERFACTUAL, linestyle="--", label="counterfactual")
        ax.plot(periods, self.treated_mean_, color=OBSERVED, label="treated")
        ax.axvline(first, color=START, linewidth=0.8, linestyle=":", label="first treated period")
        ax.set(xlabel="period", ylabel="mean of treated units")
        ax.legend()
        return ax

    def _strengths(self, cells: Observations, settings: Settings) -> Array:
        """Return the strengths to try: the given one, or a path from the weakest penalty that leaves no matrix."""
        if not isinstance(self.alpha, str):
            return np.array([positive(self.alpha, "alpha")])
        if self.alpha != "auto":
            raise InputError(f"alpha is {shown(self.alpha)}, expected a positive number, or 'auto'")
        top = alpha_max(cells.problem, metric_power=settings.metric_power, seed=settings.seed)
        return geometric(top, STRENGTHS, RATIO) * ZERO_MARGIN * regularization(1.0, cells.entries.shape)

    def _keep_effects(self, panel: Panel, model: Array) -> None:
        """Set the attributes that follow from the outcomes and the fitted panel."""
        effects, before = panel.effects(model), panel.errors_before(model)
        self.units_, self.periods_ = panel.units, panel.periods
        self.counterfactual_, self.effects_ = model, effects
        self.effects_by_unit_, self.effects_by_period_ = mean_along(effects, 1), mean_along(effects, 0)
        self.att_ = float(mean_along(effects))
        self.att_std_error_ = float(np.std(self.placebos_.effects, ddof=1))
        self.p_value_ = self.placebos_.p_value(self.att_)
        self.pre_rmse_, self.pre_rmse_by_unit_ = (
            float(np.sqrt(mean_along(before**2))),
            np.sqrt(mean_along(before**2, 1)),
        )
        units = panel.treated_units
        self.treated_mean_, self.counterfactual_mean_ = (
            mean_along(panel.outcomes[units], 0),
            mean_along(model[units], 0),
        )

    def _summary(self) -> dict[str, str]:
        lines = super()._summary()
        if lines:
            tried, error = self.placebos_, self.att_std_error_
            median = float(np.median(tried.pre_rmse))
            lines["predicts"] = f"the {'refit' if tried.candidate[1] else 'penalised fit'} at alpha {self.alpha_:.4g}"
            lines["effect"] = f"{self.att_:.4g} ± {error:.3g}, rank p-value {self.p_value_:.3g}"
            lines["placebos"] = (
                f"{len(tried.effects)}; error before the treatment {self.pre_rmse_:.3g}, theirs {median:.3g}"
            )
        return lines
