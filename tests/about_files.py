"""Which tests are about a storage in a file or in memory itself, and why a server has nothing of the kind.

All others pass with `RIVERS_TEST_STORAGE=postgres`, too.
"""

ABOUT_FILES = {
    "tests/cli/test_database.py": "they make the file older or damage it; a server's: tests/storage/test_postgres.py",
    "tests/cli/test_database_copies.py::test_old_records_are_removed_and_new_ones_kept": "it counts the file's rows",
    "tests/cli/test_run.py::test_settings_come_from_flags": "which storage is found is what it is about",
    "tests/cli/test_terminal.py::test_a_detached_backfill_does_not_write": "the log is beside the file",
    "tests/cli/test_terminal.py::test_what_is_created_for_a_detached_backfill": "the log is beside the file",
    "tests/execution/test_worker_faults.py::test_a_cleaned_temporary_folder": "a server's locks are in that folder",
    "tests/storage/test_storage_files.py::test_the_default_storage_is": "it is about the storage in memory",
    "tests/storage/test_location.py::test_a_storage_is_opened_by_its_location": "it is about the storage in memory",
}


def reason_of(test: str) -> str | None:
    """Why a test, by its id, is about files; `None` if it is not."""
    return next((why for begin, why in ABOUT_FILES.items() if test.startswith(begin)), None)
