//! Calls of Python functions without a tuple or a dict for their arguments.

use std::mem;
use std::ptr;
use std::thread;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

// Python ends a daemon thread while the interpreter shuts down by unwinding its stack, through the functions
// that these call.
unsafe extern "C-unwind" {
    // It is part of the stable interface from Python 3.12 on; 3.11 has it with the same signature.
    fn PyObject_Vectorcall(
        callable: *mut ffi::PyObject,
        args: *const *mut ffi::PyObject,
        nargsf: usize,
        kwnames: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject;

    fn PyIter_Send(
        iterator: *mut ffi::PyObject,
        value: *mut ffi::PyObject,
        result: *mut *mut ffi::PyObject,
    ) -> ffi::PySendResult;
}

/// Stops a thread whose stack Python unwinds, since the frames of Rust above cannot be unwound: otherwise the
/// process would be aborted. It ends with the process, as every daemon thread does.
struct ParkIfUnwound;

impl Drop for ParkIfUnwound {
    fn drop(&mut self) {
        loop {
            thread::park();
        }
    }
}

/// The place before the arguments may be used by the function that is called.
const ARGUMENTS_OFFSET: usize = 1 << (usize::BITS - 1);

/// Calls a function.
///
/// The first place of `arguments` is empty: the function that is called may use it. `names` are those of the
/// arguments, if they are keyword arguments.
pub(crate) fn call<'py>(
    py: Python<'py>,
    function: &Py<PyAny>,
    arguments: &mut [Option<Bound<'py, PyAny>>],
    names: Option<&Py<PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    const {
        assert!(size_of::<Option<Bound<'_, PyAny>>>() == size_of::<*mut ffi::PyObject>());
    }
    let positional = if names.is_some() {
        0
    } else {
        arguments.len() - 1
    };
    // SAFETY: the interpreter is attached. An optional reference is a pointer that may be null, so `arguments`
    // has a free place before references that live until the call returns; which of them are positional, and
    // the names of the others, are given. The result is a new reference or null with an exception set.
    unsafe {
        let first = arguments.as_mut_ptr().cast::<*mut ffi::PyObject>().add(1);
        let names = names.map_or(ptr::null_mut(), Py::as_ptr);
        let park = ParkIfUnwound;
        let returned = PyObject_Vectorcall(
            function.as_ptr(),
            first,
            positional | ARGUMENTS_OFFSET,
            names,
        );
        mem::forget(park);
        Bound::from_owned_ptr_or_err(py, returned)
    }
}

/// What a coroutine did when it was resumed.
pub(crate) enum Sent<'py> {
    /// It returned.
    Returned(Bound<'py, PyAny>),
    /// It waits for this.
    Waits(Bound<'py, PyAny>),
}

/// Resumes a coroutine with `None`.
pub(crate) fn send_none<'py>(coroutine: &Bound<'py, PyAny>) -> PyResult<Sent<'py>> {
    let py = coroutine.py();
    let mut result = ptr::null_mut();
    // SAFETY: the interpreter is attached; `result` is a new reference unless an exception is set.
    unsafe {
        let park = ParkIfUnwound;
        let sent = PyIter_Send(coroutine.as_ptr(), py.None().as_ptr(), &raw mut result);
        mem::forget(park);
        match sent {
            ffi::PySendResult::PYGEN_RETURN => {
                Ok(Sent::Returned(Bound::from_owned_ptr(py, result)))
            }
            ffi::PySendResult::PYGEN_NEXT => Ok(Sent::Waits(Bound::from_owned_ptr(py, result))),
            ffi::PySendResult::PYGEN_ERROR => Err(PyErr::fetch(py)),
        }
    }
}

/// Makes an object of a subclass of a class of this binding, without its `__init__`.
pub(crate) fn new_without_init<'py>(
    class: &Bound<'py, pyo3::types::PyType>,
    empty: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let class = class.as_type_ptr();
    // SAFETY: the class inherits the slot of a class of this binding, which takes the class, a tuple and
    // null for no keywords, and returns a new reference, or null with an exception set.
    unsafe {
        let slot = ffi::PyType_GetSlot(class, ffi::Py_tp_new);
        let new: ffi::newfunc = mem::transmute(slot);
        Bound::from_owned_ptr_or_err(py, new(class, empty.as_ptr(), ptr::null_mut()))
    }
}
