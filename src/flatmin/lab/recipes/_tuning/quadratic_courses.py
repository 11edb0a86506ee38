"""Courses of quadratic networks in training, beside the certified flattest network that fits their data."""

from collections.abc import Mapping

import numpy as np
import torch

from flatmin.lab.displays import Display
from flatmin.lab.displays.training.plane import Course
from flatmin.lab.displays.training.slices import Slice
from flatmin.lab.displays.training.training_displays import training_displays
from flatmin.lab.race.end_slices import end_slices
from flatmin.lab.recipes._tuning.methods import METHODS
from flatmin.lab.recipes._tuning.tuned import Setting, errors, training
from flatmin.measurements import RankOne
from flatmin.nn.threads import one_torch_thread
from flatmin.parametrizations import SignedGram
from flatmin.problem import Problem
from flatmin.solvers.flattest import Flattest

__all__ = ["quadratic_courses"]

#: Number of points of a course, and distance in weights of slices of the loss.
POINTS, REACH = 40, 0.5


def quadratic_courses(
    setting: Setting, strengths: Mapping[str, float], seed: int, title: str, recipe: str = ""
) -> list[Display]:
    """Return the courses of methods at given strengths on one draw of data, and the loss around their ends.

    The networks are those of `flatmin.lab.networks.signed_squares`, and the methods do not transform inputs. There is
    no figure if no quadratic function fits the training data, since then no flattest network is certified.
    """
    data = setting.data.transformed(None)
    (x, y), (x_test, y_test) = data.train, data.test
    problem = Problem(RankOne(x[0].double().numpy()), y[0, :, 0].double().numpy(), SignedGram())
    flattest = Flattest.from_problem(problem)
    if not flattest.holds:
        return []
    at, courses = {0, *np.geomspace(1, setting.steps, POINTS).round().astype(int).tolist()}, []
    with one_torch_thread():
        for place, (name, strength) in enumerate(strengths.items()):
            points = []
            for step, model in enumerate(training(setting, data, METHODS[name], strength, seed)):
                if step in at:
                    signs = np.hsplit(model.weights[0][0].detach().double().numpy().T, 2)
                    points.append((flattest.gap(tuple(signs)), *errors(setting, model, data.test)))
            slices = end_slices(model.replica(0), lambda network: setting.loss(network(x[0]), y[0]), REACH)
            courses.append(Course(name, place, np.array(points), Slice.from_lists(name, slices)))
    outputs = torch.einsum("snj,jk,snk->sn", x_test, torch.from_numpy(flattest.solution.matrix).to(x_test), x_test)
    return training_displays(
        courses,
        title,
        recipe=recipe,
        optima=setting.error(outputs[..., None], y_test).tolist(),
        star="certified flattest fit",
        error="test error over the variance",
        around="The loss is that of the data alone.",
    )
