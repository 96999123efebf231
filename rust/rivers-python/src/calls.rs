//! The calls of a batch's runs: the path of a run that needs nothing but its functions.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple, PyType};
use rivers_core::engine::{self, JobSpec};

use crate::batch::Batch;
use crate::context::{Call, CallBatch, CallContext, CallRun, Place};
use crate::run::Run;
use crate::vectorcall::{Sent, call, new_without_init, send_none};
use crate::worker::WorkerBatch;

/// A step whose function is called from here.
#[derive(FromPyObject)]
pub(crate) struct DirectCall {
    /// The step.
    step: Py<PyAny>,
    /// The index of its first asset in the request.
    index: u32,
    /// A plain function, or a coroutine function.
    function: Py<PyAny>,
    is_async: bool,
    /// The class of the context that it takes, if it takes one.
    context: Option<Py<PyType>>,
    /// What takes the numbers of the runs in which it returned `None`, if something does.
    note_none: Option<Py<PyAny>>,
}

/// The steps of each layer; `None` for one that is not called from here.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct DirectCalls {
    layers: Vec<Vec<Option<DirectCall>>>,
}

#[pymethods]
impl DirectCalls {
    #[new]
    fn new(layers: Vec<Vec<Option<DirectCall>>>) -> Self {
        Self { layers }
    }
}

type Shared = CallBatch<Arc<Mutex<engine::Batch>>, Arc<Mutex<engine::WorkerBatch>>>;

impl Shared {
    fn of(batch: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(batch) = batch.cast::<Batch>() {
            return Ok(Self::Local(Arc::clone(&batch.get().batch)));
        }
        let batch = batch.cast::<WorkerBatch>()?;
        Ok(Self::Remote(Arc::clone(&batch.get().batch)))
    }

    fn place(&self) -> Place {
        match self {
            Self::Local(batch) => Place {
                spec: locked(batch).spec().clone(),
                batch: CallBatch::Local(Arc::downgrade(batch)),
            },
            Self::Remote(batch) => Place {
                spec: locked(batch).spec().clone(),
                batch: CallBatch::Remote(Arc::downgrade(batch)),
            },
        }
    }

    fn is_plain(&self) -> bool {
        match self {
            Self::Local(batch) => locked(batch).is_plain(),
            Self::Remote(batch) => locked(batch).is_plain(),
        }
    }

    /// Ends the current run and begins the next; and whether outcomes are to be flushed.
    fn begin_next(&self) -> (Option<u64>, bool) {
        match self {
            Self::Local(batch) => {
                let mut batch = locked(batch);
                (batch.begin_next(), batch.should_flush())
            }
            Self::Remote(batch) => (locked(batch).begin_next(), false),
        }
    }

    fn current_run(&self) -> Option<Arc<engine::Run>> {
        match self {
            Self::Local(batch) => locked(batch).current_run(),
            Self::Remote(batch) => locked(batch).current_run(),
        }
    }

    fn flush(&self) {
        if let Self::Local(batch) = self {
            locked(batch).flush();
        }
    }

    fn set_step(&self, step: u32) {
        if let Self::Remote(batch) = self {
            locked(batch).set_step(step);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run that is to be continued in Python: the run, the position of the step that it is at, and what has
/// become of the call of that step, if it was called.
type Handover<'py> = (Run, usize, Option<Outcome<'py>>);

/// The context of a call, and what it returned, what it raised, or the coroutine and what that waits for.
type Outcome<'py> = (
    Option<Bound<'py, PyAny>>,
    Option<Bound<'py, PyAny>>,
    Option<Bound<'py, PyAny>>,
    Option<Bound<'py, PyAny>>,
);

/// The calls of a batch; iterating makes them, and returns the runs that are to be continued in Python.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct Calls {
    direct: Py<DirectCalls>,
    batch: Shared,
    place: Arc<Place>,
    /// Whether nothing that happened before matters to the runs.
    is_plain: bool,
    /// By step, the runs in which it returned `None` that have not been noted yet.
    nones: Mutex<Vec<Vec<Vec<u64>>>>,
    /// The run that is executed, and the position of its step.
    number: AtomicU64,
    at: AtomicUsize,
}

#[pymethods]
impl Calls {
    #[new]
    fn new(direct: Py<DirectCalls>, batch: &Bound<'_, PyAny>) -> PyResult<Self> {
        let batch = Shared::of(batch)?;
        let layers = direct.get().layers.iter();
        let nones = layers.map(|steps| vec![Vec::new(); steps.len()]).collect();
        Ok(Self {
            place: Arc::new(batch.place()),
            is_plain: batch.is_plain(),
            nones: Mutex::new(nones),
            number: AtomicU64::new(u64::MAX),
            at: AtomicUsize::new(0),
            direct,
            batch,
        })
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// Executes runs until one is to be continued in Python.
    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Handover<'py>>> {
        let layers = &self.direct.get().layers;
        let empty = PyTuple::empty(py);
        loop {
            let (number, due) = self.batch.begin_next();
            if due || number.is_none() {
                self.note(py)?;
            }
            if due {
                py.detach(|| self.batch.flush());
            }
            let Some(number) = number else {
                return Ok(None);
            };
            self.number.store(number, Ordering::Relaxed);
            if matches!(self.batch, CallBatch::Remote(_)) {
                // A worker process keeps what is in memory for one run.
                locked(&self.nones)
                    .iter_mut()
                    .flatten()
                    .for_each(Vec::clear);
            }
            let layer = self.spec().plan.layer_of(number);
            for (at, direct) in layers[layer].iter().enumerate() {
                let Some(direct) = direct.as_ref().filter(|_| self.is_plain) else {
                    return self.hand_over(py, at, None);
                };
                self.at.store(at, Ordering::Relaxed);
                self.batch.set_step(direct.index);
                let outcome = self.call(py, direct, number, &empty)?;
                if let Some(outcome) = outcome {
                    return self.hand_over(py, at, Some(outcome));
                }
                if direct.note_none.is_some() {
                    locked(&self.nones)[layer][at].push(number);
                }
            }
        }
    }

    /// The step and the run that are being executed; `None`: none has begun.
    #[getter]
    fn current(&self, py: Python<'_>) -> Option<(Py<PyAny>, Run)> {
        let number = self.number.load(Ordering::Relaxed);
        let layer = (number != u64::MAX).then(|| self.spec().plan.layer_of(number))?;
        let direct = self.direct.get().layers[layer].get(self.at.load(Ordering::Relaxed))?;
        let step = direct.as_ref()?.step.clone_ref(py);
        let run = self.place.run(number);
        Some((step, Run { run }))
    }

    /// Notes the runs in which functions returned `None`; before that, their outcomes are not reported.
    fn note(&self, py: Python<'_>) -> PyResult<()> {
        for (layer, steps) in self.direct.get().layers.iter().enumerate() {
            for (at, direct) in steps.iter().enumerate() {
                let Some(note) = direct.as_ref().and_then(|direct| direct.note_none.as_ref())
                else {
                    continue;
                };
                let numbers = std::mem::take(&mut locked(&self.nones)[layer][at]);
                if !numbers.is_empty() {
                    let bytes: Vec<u8> = numbers.iter().flat_map(|own| own.to_ne_bytes()).collect();
                    note.call1(py, (PyBytes::new(py, &bytes),))?;
                }
            }
        }
        Ok(())
    }
}

impl Calls {
    fn spec(&self) -> &JobSpec {
        &self.place.spec
    }

    /// Calls a step's function. `None`: it returned `None`, and there is nothing else to say about it.
    fn call<'py>(
        &self,
        py: Python<'py>,
        direct: &DirectCall,
        number: u64,
        empty: &Bound<'py, PyTuple>,
    ) -> PyResult<Option<Outcome<'py>>> {
        let context = match &direct.context {
            None => None,
            Some(class) => {
                let context = new_without_init(class.bind(py), empty)?;
                let run = CallRun::Lazy(Arc::clone(&self.place), number, Default::default());
                let step = direct.step.clone_ref(py);
                let _ = context
                    .cast::<CallContext>()?
                    .get()
                    .call
                    .set(Call { step, run });
                Some(context)
            }
        };
        let mut returned = call(py, &direct.function, context.as_ref());
        if direct.is_async
            && let Ok(coroutine) = returned
        {
            returned = match send_none(&coroutine) {
                Ok(Sent::Returned(value)) => Ok(value),
                Ok(Sent::Waits(what)) => {
                    let pending = PyTuple::new(py, [coroutine, what])?.into_any();
                    return Ok(Some((context, None, None, Some(pending))));
                }
                Err(error) => Err(error),
            };
        }
        match returned {
            Ok(value) if value.is_none() && self.is_silent(context.as_ref())? => Ok(None),
            Ok(value) => Ok(Some((context, Some(value), None, None))),
            Err(error) => {
                let error = error.into_value(py).into_bound(py).into_any();
                Ok(Some((context, None, Some(error), None)))
            }
        }
    }

    /// Whether a call has said nothing about its run: no metadata, no partition that failed or was skipped.
    fn is_silent(&self, context: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let Some(context) = context else {
            return Ok(true);
        };
        let context = context.cast::<CallContext>()?.get();
        let run = || self.batch.current_run();
        Ok(!context.has_metadata()
            && (!context.has_run() || run().is_none_or(|run| run.has_no_failures())))
    }

    fn hand_over<'py>(
        &self,
        py: Python<'py>,
        at: usize,
        outcome: Option<Outcome<'py>>,
    ) -> PyResult<Option<Handover<'py>>> {
        self.note(py)?;
        let run = self.batch.current_run();
        Ok(run.map(|run| (Run { run }, at, outcome)))
    }
}
