//! The calls of a batch's runs: the path of a run that needs nothing but its functions.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple, PyType};
use rivers_core::engine::{self, JobSpec};
use rivers_core::plan::Plan;

use crate::batch::{self, Batch};
use crate::context::{Call, CallBatch, CallContext, CallRun, Place};
use crate::run::Run;
use crate::values::{NoneRecorder, ValueLoader, ValueRecorder};
use crate::vectorcall::{Sent, call, new_without_init, send_none};
use crate::worker::WorkerBatch;

/// A step whose function is called from here: `rivers.execution.direct.DirectCall`, with the same fields.
#[derive(FromPyObject)]
pub(crate) struct DirectCall {
    step: Py<PyAny>,
    index: u32,
    function: Py<PyAny>,
    is_async: bool,
    context: Option<Py<PyType>>,
    names: Option<Py<PyTuple>>,
    arguments: Vec<Argument>,
    by_name: bool,
    outputs: Vec<DirectOutput>,
    needs_one_partition: bool,
}

/// An argument of a call.
#[derive(FromPyObject)]
enum Argument {
    /// What a step of the same run returned: the positions of the step and of its output.
    Value(usize, usize),
    /// What was stored before.
    Stored(Py<ValueLoader>),
    /// The context, as `True`, or `None`, as `False`.
    Context(bool),
}

impl DirectCall {
    /// The arguments that were stored before, in their order. `None`: Python has to load one, or to say why it
    /// cannot.
    fn load<'py>(
        &self,
        py: Python<'py>,
        plan: &Plan,
        number: u64,
    ) -> Option<Vec<Bound<'py, PyAny>>> {
        let loaders = self.arguments.iter().filter_map(|argument| match argument {
            Argument::Stored(loader) => Some(loader.get()),
            Argument::Value(..) | Argument::Context(_) => None,
        });
        loaders
            .map(|loader| loader.load(py, plan, number))
            .collect()
    }
}

/// An output of a step: `rivers.execution.direct.DirectOutput`, with the same fields.
#[derive(FromPyObject)]
struct DirectOutput {
    name: Py<PyString>,
    note_none: Option<Py<PyAny>>,
    note_values: Option<Py<PyAny>>,
    is_none_only: bool,
    store_group: Option<Py<PyAny>>,
}

impl DirectOutput {
    /// What stores that the output is `None` at once; `None`: nothing does.
    fn none_recorder<'a>(&'a self, py: Python<'a>) -> Option<&'a NoneRecorder> {
        let recorder = self.note_none.as_ref()?.bind(py).cast::<NoneRecorder>();
        recorder.ok().map(Bound::get)
    }

    /// What stores a value of the output at once; `None`: nothing does.
    fn value_recorder<'a>(&'a self, py: Python<'a>) -> Option<&'a ValueRecorder> {
        let recorder = self.note_values.as_ref()?.bind(py).cast::<ValueRecorder>();
        recorder.ok().map(Bound::get)
    }
}

/// The steps of each layer; `None` for one that is not called from here.
#[pyclass(frozen, module = "rivers._rivers")]
pub(crate) struct DirectCalls {
    layers: Vec<Vec<Option<DirectCall>>>,
    /// Whether a value of a type can be stored as it is, by type.
    plain_types: Mutex<Vec<(Py<PyType>, bool)>>,
    /// Finds that out.
    is_plain_type: Py<PyAny>,
}

/// Number of types that are remembered.
const MAX_TYPES: usize = 32;

#[pymethods]
impl DirectCalls {
    #[new]
    fn new(layers: Vec<Vec<Option<DirectCall>>>, is_plain_type: Py<PyAny>) -> Self {
        Self {
            layers,
            plain_types: Mutex::default(),
            is_plain_type,
        }
    }
}

impl DirectCalls {
    fn has_groups(&self) -> bool {
        let mut calls = self.layers.iter().flatten().flatten();
        calls.any(|call| call.outputs.iter().any(|own| own.store_group.is_some()))
    }

    fn is_plain(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let kind = value.get_type();
        let mut types = locked(&self.plain_types);
        if let Some((_, is_plain)) = types.iter().find(|(own, _)| own.is(&kind)) {
            return Ok(*is_plain);
        }
        drop(types);
        let is_plain = self
            .is_plain_type
            .bind(value.py())
            .call1((&kind,))?
            .extract()?;
        types = locked(&self.plain_types);
        if types.len() >= MAX_TYPES {
            types.clear();
        }
        types.push((kind.unbind(), is_plain));
        Ok(is_plain)
    }
}

/// What steps returned for an output, until it is noted.
#[derive(Default)]
struct Pending {
    /// The runs in which it was `None`.
    nones: Vec<u64>,
    /// The runs in which it was something else, with the values.
    runs: Vec<u64>,
    values: Vec<Py<PyAny>>,
}

impl Pending {
    fn push(&mut self, number: u64, value: &Bound<'_, PyAny>, is_group: bool) {
        if value.is_none() && !is_group {
            self.nones.push(number);
        } else {
            self.runs.push(number);
            self.values.push(value.clone().unbind());
        }
    }

    /// What the run returned; `None` if there was nothing to note, since it was `None`.
    fn last<'py>(&self, py: Python<'py>, number: u64) -> Option<Bound<'py, PyAny>> {
        let is_last = self.runs.last() == Some(&number);
        is_last.then(|| self.values.last().map(|own| own.bind(py).clone()))?
    }

    /// Takes back what the run returned.
    fn pop<'py>(&mut self, py: Python<'py>, number: u64) -> Option<Bound<'py, PyAny>> {
        if self.nones.last() == Some(&number) {
            self.nones.pop();
        } else if self.runs.last() == Some(&number) {
            self.runs.pop();
            return self.values.pop().map(|own| own.into_bound(py));
        }
        None
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

    fn is_plain_run(&self, number: u64) -> bool {
        match self {
            Self::Local(batch) => locked(batch).is_plain_run(number),
            Self::Remote(batch) => locked(batch).is_plain_run(number),
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

    /// Like `begin_next`, but the outcomes of ended runs are held.
    fn begin_next_holding(&self) -> (Option<u64>, bool) {
        match self {
            Self::Local(batch) => {
                let mut batch = locked(batch);
                (batch.begin_next_holding(), batch.should_flush())
            }
            Self::Remote(batch) => (locked(batch).begin_next_holding(), false),
        }
    }

    fn may_hold(&self) -> bool {
        match self {
            Self::Local(batch) => locked(batch).may_hold(),
            Self::Remote(batch) => locked(batch).may_hold(),
        }
    }

    fn held_runs(&self, numbers: &[u64]) -> Vec<Run> {
        let runs = match self {
            Self::Local(batch) => locked(batch).held_runs(numbers),
            Self::Remote(batch) => locked(batch).held_runs(numbers),
        };
        runs.into_iter().map(|run| Run { run }).collect()
    }

    fn release(&self) {
        match self {
            Self::Local(batch) => locked(batch).release(),
            Self::Remote(batch) => locked(batch).release(),
        }
    }

    fn flush(&self, py: Python<'_>) {
        if let Self::Local(batch) = self {
            batch::without_waiting(py, batch, engine::Batch::flush);
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

/// A run that is to be continued in Python, and what has become of the steps that were called.
type Handover<'py> = (Run, Vec<Outcome<'py>>);

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
    /// Whether nothing that happened before matters to any of the runs.
    is_plain: bool,
    /// Whether the outcomes of runs wait until what they returned is stored together.
    holds: bool,
    /// By layer, step and output, what was returned.
    pending: Mutex<Vec<Vec<Vec<Pending>>>>,
    /// A context that its function did not keep, and the position of its step; most need no other.
    spare: Mutex<Option<(usize, usize, Py<CallContext>)>>,
    /// The run that is executed, and the position of its step.
    number: AtomicU64,
    at: AtomicUsize,
}

#[pymethods]
impl Calls {
    #[new]
    fn new(direct: Py<DirectCalls>, batch: &Bound<'_, PyAny>) -> PyResult<Self> {
        let batch = Shared::of(batch)?;
        let outputs = |step: &Option<DirectCall>| {
            let count = step.as_ref().map_or(0, |step| step.outputs.len());
            (0..count).map(|_| Pending::default()).collect()
        };
        let layers = direct.get().layers.iter();
        let pending = layers.map(|steps| steps.iter().map(outputs).collect());
        Ok(Self {
            place: Arc::new(batch.place()),
            holds: direct.get().has_groups() && batch.may_hold(),
            is_plain: batch.is_plain(),
            pending: Mutex::new(pending.collect()),
            spare: Mutex::default(),
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
        loop {
            let (number, due) = match self.holds {
                true => self.batch.begin_next_holding(),
                false => self.batch.begin_next(),
            };
            if due || number.is_none() {
                self.note(py)?;
            }
            if due && number.is_some() {
                self.batch.flush(py);
            }
            let Some(number) = number else {
                return Ok(None);
            };
            self.number.store(number, Ordering::Relaxed);
            let plan = &self.spec().plan;
            let layer = plan.layer_of(number);
            let is_plain = self.is_plain || self.batch.is_plain_run(number);
            for (at, direct) in layers[layer].iter().enumerate() {
                let covers = |direct: &&DirectCall| {
                    is_plain && (!direct.needs_one_partition || plan.run_len(number) == 1)
                };
                let Some(direct) = direct.as_ref().filter(covers) else {
                    return self.hand_over(py, number, layer, at, None);
                };
                self.at.store(at, Ordering::Relaxed);
                self.batch.set_step(direct.index);
                let Some(stored) = direct.load(py, plan, number) else {
                    return self.hand_over(py, number, layer, at, None);
                };
                let outcome = self.call(py, direct, stored, number, layer, at)?;
                if outcome.is_some() {
                    return self.hand_over(py, number, layer, at, outcome);
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

    /// Passes on what functions returned: before that, the outcomes of their runs are not reported.
    fn note(&self, py: Python<'_>) -> PyResult<()> {
        for (layer, steps) in self.direct.get().layers.iter().enumerate() {
            for (at, direct) in steps.iter().enumerate() {
                let outputs = direct.iter().flat_map(|direct| &direct.outputs);
                for (which, output) in outputs.enumerate() {
                    let taken = std::mem::take(&mut locked(&self.pending)[layer][at][which]);
                    if let Some(store) = &output.store_group {
                        if !taken.runs.is_empty() {
                            let runs = self.batch.held_runs(&taken.runs);
                            store.call1(py, (runs, PyList::new(py, taken.values)?))?;
                        }
                        continue;
                    }
                    if output.none_recorder(py).is_some() {
                        continue; // It is stored already.
                    }
                    if let Some(note) = &output.note_none
                        && !taken.nones.is_empty()
                    {
                        note.call1(py, (numbers(py, &taken.nones),))?;
                    }
                    if let Some(note) = &output.note_values
                        && !taken.runs.is_empty()
                    {
                        let values = PyList::new(py, taken.values)?;
                        note.call1(py, (numbers(py, &taken.runs), values))?;
                    }
                }
            }
        }
        if self.holds {
            self.batch.release();
        }
        Ok(())
    }
}

/// The numbers of runs, 8 bytes each.
fn numbers<'py>(py: Python<'py>, runs: &[u64]) -> Bound<'py, PyBytes> {
    let bytes: Vec<u8> = runs.iter().flat_map(|own| own.to_ne_bytes()).collect();
    PyBytes::new(py, &bytes)
}

impl Calls {
    fn spec(&self) -> &JobSpec {
        &self.place.spec
    }

    /// Calls a step's function. `None`: what it returned is pending, and there is nothing else to say about it.
    fn call<'py>(
        &self,
        py: Python<'py>,
        direct: &DirectCall,
        mut stored: Vec<Bound<'py, PyAny>>,
        number: u64,
        layer: usize,
        at: usize,
    ) -> PyResult<Option<Outcome<'py>>> {
        let context = match &direct.context {
            None => None,
            Some(class) => Some(self.context(class.bind(py), direct, number, (layer, at))?),
        };
        let shown = || context.as_ref().map(|own| own.as_any().clone());
        let mut returned = match direct.arguments.as_slice() {
            [] => call(py, &direct.function, &mut [None], None),
            [Argument::Context(true)] => {
                let arguments = &mut [None, shown()];
                call(py, &direct.function, arguments, direct.names.as_ref())
            }
            arguments => {
                let mut stored = stored.drain(..);
                let value = |argument: &Argument| match *argument {
                    Argument::Context(true) => shown(),
                    Argument::Context(false) => None,
                    Argument::Stored(_) => stored.next(),
                    Argument::Value(step, output) => {
                        locked(&self.pending)[layer][step][output].last(py, number)
                    }
                };
                let values = arguments.iter().map(value);
                let values =
                    values.map(|own| Some(own.unwrap_or_else(|| py.None().into_bound(py))));
                let mut values: Vec<_> = std::iter::once(None).chain(values).collect();
                call(py, &direct.function, &mut values, direct.names.as_ref())
            }
        };
        if direct.is_async
            && let Ok(coroutine) = returned
        {
            returned = match send_none(&coroutine) {
                Ok(Sent::Returned(value)) => Ok(value),
                Ok(Sent::Waits(what)) => {
                    let pending = PyTuple::new(py, [coroutine, what])?.into_any();
                    return Ok(Some((shown(), None, None, Some(pending))));
                }
                Err(error) => Err(error),
            };
        }
        match returned {
            Ok(value) => {
                if self.is_silent(context.as_ref())
                    && self.keep(direct, number, layer, at, &value)?
                {
                    if let Some(context) = context {
                        *locked(&self.spare) = Some((layer, at, context.unbind()));
                    }
                    return Ok(None);
                }
                Ok(Some((shown(), Some(value), None, None)))
            }
            Err(error) => {
                let error = error.into_value(py).into_bound(py).into_any();
                Ok(Some((shown(), None, Some(error), None)))
            }
        }
    }

    /// The context of a call: that of the call before, if nothing knows it any more, or a new one.
    fn context<'py>(
        &self,
        class: &Bound<'py, PyType>,
        direct: &DirectCall,
        number: u64,
        step: (usize, usize),
    ) -> PyResult<Bound<'py, CallContext>> {
        let py = class.py();
        let spare = locked(&self.spare).take();
        if let Some((layer, at, spare)) = spare
            && (layer, at) == step
        {
            let spare = spare.into_bound(py);
            if CallContext::reuse(&spare, number) {
                return Ok(spare);
            }
        }
        let context = new_without_init(class, &PyTuple::empty(py))?.cast_into::<CallContext>()?;
        let run = CallRun::Lazy(
            Arc::clone(&self.place),
            AtomicU64::new(number),
            OnceLock::new(),
        );
        let step = direct.step.clone_ref(py);
        let _ = context.get().call.set(Call { step, run });
        Ok(context)
    }

    /// Keeps what a function returned until it is noted. Returns `false` if Python has to store it.
    fn keep(
        &self,
        direct: &DirectCall,
        number: u64,
        layer: usize,
        at: usize,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let has_one_partition = || self.spec().plan.run_len(number) == 1;
        if !direct.by_name {
            let output = &direct.outputs[0];
            let is_group = self.is_group(output);
            if value.is_none() && output.note_none.is_none() && !is_group {
                return Ok(output.is_none_only);
            }
            let is_kept = (value.is_none() && !is_group)
                || ((output.note_values.is_some() || is_group)
                    && has_one_partition()
                    && self.direct.get().is_plain(value)?);
            if !is_kept || !self.store_at_once(output, number, value)? {
                return Ok(false);
            }
            self.push(direct, number, layer, at, std::slice::from_ref(value));
            return Ok(true);
        }
        let Ok(parts) = value.cast_exact::<PyDict>() else {
            return Ok(false);
        };
        if parts.len() != direct.outputs.len() || !has_one_partition() {
            return Ok(false);
        }
        let mut values = Vec::with_capacity(direct.outputs.len());
        for output in &direct.outputs {
            let Some(part) = parts.get_item(&output.name)? else {
                return Ok(false);
            };
            let is_kept = if self.is_group(output) {
                self.direct.get().is_plain(&part)?
            } else if part.is_none() {
                output.note_none.is_some()
            } else {
                output.note_values.is_some() && self.direct.get().is_plain(&part)?
            };
            if !is_kept {
                return Ok(false);
            }
            values.push(part);
        }
        for (output, part) in direct.outputs.iter().zip(&values) {
            if !self.store_at_once(output, number, part)? {
                return Ok(false);
            }
        }
        self.push(direct, number, layer, at, &values);
        Ok(true)
    }

    /// Whether what is returned for an output is stored with that of other runs, before their outcomes are kept.
    fn is_group(&self, output: &DirectOutput) -> bool {
        self.holds && output.store_group.is_some()
    }

    /// Stores what was returned for an output, before any thread can report the outcome of the run, if that is
    /// what its handler does. Returns `false` if Python has to.
    fn store_at_once(
        &self,
        output: &DirectOutput,
        number: u64,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let py = value.py();
        if value.is_none() {
            if let Some(recorder) = output.none_recorder(py) {
                recorder.note(&self.spec().plan, number);
            }
            return Ok(true);
        }
        match output.value_recorder(py) {
            Some(recorder) => recorder.store(self.spec(), number, value),
            None => Ok(true),
        }
    }

    /// Keeps what was returned for the outputs of a step: until it is noted, or while the run lasts if it is
    /// stored already.
    fn push(
        &self,
        direct: &DirectCall,
        number: u64,
        layer: usize,
        at: usize,
        values: &[Bound<'_, PyAny>],
    ) {
        let mut pending = locked(&self.pending);
        let kept = pending[layer][at].iter_mut().zip(&direct.outputs);
        for ((own, output), value) in kept.zip(values) {
            if output.none_recorder(value.py()).is_some() {
                *own = Pending::default();
            }
            own.push(number, value, self.is_group(output));
        }
    }

    /// Whether a call has said nothing about its run: no metadata, no partition that failed or was skipped.
    fn is_silent(&self, context: Option<&Bound<'_, CallContext>>) -> bool {
        let Some(context) = context.map(Bound::get) else {
            return true;
        };
        let run = || self.batch.current_run();
        !context.has_metadata()
            && (!context.has_run() || run().is_none_or(|run| run.has_no_failures()))
    }

    /// What Python needs to continue a run at a step, which was called or not: what the steps before it
    /// returned, and its outcome.
    fn hand_over<'py>(
        &self,
        py: Python<'py>,
        number: u64,
        layer: usize,
        at: usize,
        outcome: Option<Outcome<'py>>,
    ) -> PyResult<Option<Handover<'py>>> {
        let mut outcomes = Vec::with_capacity(at + 1);
        for step in 0..at {
            let values: Vec<_> = locked(&self.pending)[layer][step]
                .iter_mut()
                .map(|own| own.pop(py, number))
                .collect();
            let direct = self.direct.get().layers[layer][step].as_ref();
            let value = match direct {
                Some(direct) if direct.by_name => {
                    let parts = PyDict::new(py);
                    for (output, value) in direct.outputs.iter().zip(values) {
                        parts.set_item(&output.name, value)?;
                    }
                    Some(parts.into_any())
                }
                _ => values.into_iter().next().flatten(),
            };
            outcomes.push((None, value, None, None));
        }
        outcomes.extend(outcome);
        let run = self.batch.current_run();
        Ok(run.map(|run| (Run { run }, outcomes)))
    }
}
