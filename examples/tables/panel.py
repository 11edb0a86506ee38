"""
Did a tax lower the sales of cigarettes?
========================================

California raised its tax on cigarettes at the end of 1988 (Proposition 99). Sales fell afterwards, but they fell in
other states too. The sales that California would have had without the tax are predicted from its own sales before 1989,
and from the sales in 38 states without a new tax, by a matrix of low rank with effects of states and years.

How far such predictions err is measured on the other states: each of them in turn is treated as if it had raised its
tax in 1989, and the estimated effect, whose true value is zero, is an error. Differences in differences, which assume
that all states have parallel trends, have larger errors, and fit California worse before the tax.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from flatmin import PanelEffect

# %%
# The panel has 39 states and 31 years. It is described in the folder of the data.

DATA = Path(__file__).resolve().parents[1] / "data" / "prop99.csv"
#: A strength at which the penalty leaves no matrix: differences in differences.
VERY_STRONG = 100.0
BLUE, RED, GREY = "#1b6ca8", "#d1495b", "#999999"

# %%
# `PanelEffect` takes a table of outcomes, a row for each state, and a table that marks treated cells. A penalty so
# strong that no matrix remains gives differences in differences.

sales = pd.read_csv(DATA, sep=";")
Y = sales.pivot(index="State", columns="Year", values="PacksPerCapita")
treated = sales.pivot(index="State", columns="Year", values="treated")
model = PanelEffect().fit(Y, treated)
differences = PanelEffect(VERY_STRONG, refit=False).fit(Y, treated)
for name, found in (("low rank", model), ("differences in differences", differences)):
    low, high = found.att_interval(0.9)
    print(
        f"{name}: effect {found.att_:.1f} ± {found.att_std_error_:.1f}, 90 % interval {low:.0f} to {high:.0f}; "
        f"rank p-value {found.p_value_:.2f}; error before the tax {found.pre_rmse_:.1f}"
    )

# %%
# Placebos: the effect that is estimated for each state without a tax. The largest of them tells how much chance can
# do.

worst = int(np.argmax(np.abs(model.placebos_.effects)))
print(f"the largest placebo effect is that of {model.placebos_.units[worst, 0]}: {model.placebos_.effects[worst]:.1f}")
print(f"effect in 1989: {model.effects_by_period_[-12]:.1f}, in 2000: {model.effects_by_period_[-1]:.1f}")

# %%
# California and its counterfactual, the gaps of all states, and the effects of placebos.

figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
model.plot(axes[0])
axes[0].set(title="Cigarette sales in California", xlabel="", ylabel="packs per person")
years, placebos = model.periods_, model.placebos_
axes[1].plot(years, placebos.gaps.T, color=GREY, linewidth=0.6)
axes[1].plot(years, model.treated_mean_ - model.counterfactual_mean_, color=RED, linewidth=2, label="California")
axes[1].axvline(1989, color=GREY, linestyle=":")
axes[1].set(title="Sales minus counterfactual, and placebos", ylabel="packs per person")
axes[1].legend()
axes[2].hist(placebos.effects, bins=16, color=BLUE, alpha=0.6, label="placebos")
axes[2].axvline(model.att_, color=RED, linewidth=2, label="California")
axes[2].set(title=f"Average effects, rank p-value {model.p_value_:.2f}", xlabel="packs per person and year")
axes[2].legend()
plt.show()
