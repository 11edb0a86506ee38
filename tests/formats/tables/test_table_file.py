from flatmin.formats.tables.table_file import extra


def test_a_missing_package_is_named_with_the_command_that_installs_it():
    assert "pip install 'flatmin[excel]'" in str(extra("excel", "openpyxl", ".xlsx"))
