"""The checks of scikit-learn that flatmin's estimators cannot pass by design, with the reasons."""

from typing import Any

__all__ = ["expected_failed_checks"]

#: Why alpha="auto" fails: a weight states how precise a sample is; a repetition of the sample also says more on noise.
_EVIDENCE = (
    "alpha='auto' reads the level of noise from the number of samples, and a sample of weight two is one sample, not "
    "two; with a number for alpha the check passes"
)
#: The table of this check has 9 samples with 15 features on each side; after whitening, their vectors are orthonormal.
_AMBIGUOUS = (
    "with fewer samples than features flat minima need not be unique (certificate_.unique is False), and at some "
    "strengths weights and repetitions end at different ones; with metric_power=0 the check passes"
)
#: The table has 15 different samples with 15 features on each side; after whitening, their vectors are orthonormal.
_UNDECIDED = (
    "with as few different samples as features uniqueness is undecided (certificate_.unique is None): relative gaps of "
    "1e-12, near rounding, leave predictions free by 4e-8; with metric_powers=(0,) the check passes"
)
_HELD_OUT = "the number of cells determines how strong the penalty is, and which cells are held out"
_TABLES = "the check expects one number for each row from every predict, and predict of a table returns a table"

_COLUMNS = "pairs of ids have two columns, and the data of the check have not"
_ALONE = "every id in the data of the check has one value, and the last value of an id is never held out"
#: The checks with data of other than two columns, without the prefix "check_".
_WIDE = """
    all_zero_sample_weights_error dict_unchanged dont_overwrite_parameters dtype_object estimators_dtypes
    estimators_nan_inf estimators_pickle f_contiguous_array_estimator fit2d_1sample fit2d_predict1d fit_score_takes_y
    methods_sample_order_invariance methods_subset_invariance n_features_in_after_fitting
    non_transformer_estimators_n_iter pipeline_consistency positive_only_tag_during_fit regressor_data_not_an_array
    regressors_int regressors_no_decision_function regressors_train sample_weight_equivalence_on_dense_data
    sample_weights_list supervised_y_2d
"""
#: The checks with data of two columns in which ids are not repeated.
_DISTINCT = """
    estimators_fit_returns_self estimators_overwrite_params fit_check_is_fitted fit_idempotent n_features_in
    readonly_memmap_input sample_weights_not_overwritten sample_weights_shape
"""

_PANEL = "the check has one label for each row, and a panel has a treatment for every cell, and may have holes"
#: The checks that fit, without the prefix "check_".
_FITTING = """
    complex_data dict_unchanged dont_overwrite_parameters dtype_object estimator_sparse_array estimator_sparse_matrix
    estimator_sparse_tag estimators_dtypes estimators_empty_data_messages estimators_fit_returns_self estimators_nan_inf
    estimators_overwrite_params estimators_pickle f_contiguous_array_estimator fit2d_1feature fit2d_1sample
    fit2d_predict1d fit_check_is_fitted fit_idempotent fit_score_takes_y methods_sample_order_invariance
    methods_subset_invariance n_features_in n_features_in_after_fitting pipeline_consistency
    positive_only_tag_during_fit readonly_memmap_input
"""

_DENSE, _SPARSE = (f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse"))


def expected_failed_checks(estimator: Any) -> dict[str, str]:
    """Return the names of scikit-learn's checks that an estimator of flatmin must fail, each with its reason.

    Pass the result as ``expected_failed_checks`` to ``sklearn.utils.estimator_checks.parametrize_with_checks`` or
    ``check_estimator``. The result is empty if the estimator passes all checks.

    Examples
    --------
    >>> import flatmin as fm
    >>> expected_failed_checks(fm.TraceRegressor(0.1))
    {}
    """
    name, settings = type(estimator).__name__, estimator.get_params()
    finds_strength = settings.get("alpha", "auto") == "auto"
    if name in ("MatrixCompletion", "MatrixCompletionCV"):
        failed = dict.fromkeys(("check_estimator_sparse_array", "check_estimator_sparse_matrix"), _TABLES)
        return failed | (dict.fromkeys((_DENSE, _SPARSE), _HELD_OUT) if finds_strength else {})
    if name in ("PairRegressor", "PairRegressorCV"):
        alone = dict.fromkeys(_DISTINCT.split(), _ALONE) if name == "PairRegressorCV" else {}
        return {f"check_{check}": reason for check, reason in (dict.fromkeys(_WIDE.split(), _COLUMNS) | alone).items()}
    if name == "PanelEffect":
        return {f"check_{check}": _PANEL for check in _FITTING.split()}
    if name in ("TraceRegressor", "BilinearRegressor") and finds_strength:
        return {_DENSE: _EVIDENCE}
    if name == "BilinearRegressor" and not settings["fit_linear"] and settings["metric_power"] == 1:
        return {_DENSE: _AMBIGUOUS}
    if name == "BilinearRegressorCV" and not settings["fit_linear"] and 1 in settings["metric_powers"]:
        return {_DENSE: _UNDECIDED}
    return {}
