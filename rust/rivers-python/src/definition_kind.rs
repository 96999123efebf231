//! `PartitionsDefinition` and a subclass for each kind of definition.

use std::sync::Arc;

use pyo3::prelude::*;
use rivers_core::space::time::{Calendar, Grid, Nanos, SECOND, Zone};
use rivers_core::space::{Definition, Dimension};

use crate::calendar_text::{DAILY, HOURLY, schedule};
use crate::convert::datetime;
use crate::key::nest_class;

/// The partitions that exist: along one dimension, or as the product of several.
///
/// Create one with `static_`, `daily`, `hourly`, `time_window`, `dynamic` or `multi`. Each definition is
/// an instance of the class of its kind: `PartitionsDefinition.Static`, `.TimeWindow`, `.Multi` or
/// `.Dynamic`. The size of a definition does not depend on its number of partitions. Time is a grid of half-open windows on the
/// wall clock of a zone, by default UTC; a partition's key is the start of its window, as text. Definitions are
/// immutable, comparable, hashable and picklable.
#[pyclass(frozen, subclass, module = "rivers")]
pub(crate) struct PartitionsDefinition {
    pub(crate) definition: Arc<Definition>,
}

/// A fixed list of keys: `PartitionsDefinition.static_(...)`.
#[pyclass(frozen, extends = PartitionsDefinition, module = "rivers")]
pub(crate) struct Static;

/// A grid of time windows: `PartitionsDefinition.daily(...)`, `.hourly(...)` and `.time_window(...)`.
#[pyclass(frozen, extends = PartitionsDefinition, module = "rivers")]
pub(crate) struct TimeWindow;

/// A product of named dimensions: `PartitionsDefinition.multi(...)`.
#[pyclass(frozen, extends = PartitionsDefinition, module = "rivers")]
pub(crate) struct Multi;

/// Keys that a storage has: `PartitionsDefinition.dynamic(...)`.
#[pyclass(frozen, extends = PartitionsDefinition, module = "rivers")]
pub(crate) struct Dynamic;

/// Makes the classes available as attributes of `PartitionsDefinition`.
pub(crate) fn nest(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let (py, outer) = (module.py(), module.getattr("PartitionsDefinition")?);
    nest_class(&outer, &py.get_type::<Static>(), "Static")?;
    nest_class(&outer, &py.get_type::<TimeWindow>(), "TimeWindow")?;
    nest_class(&outer, &py.get_type::<Multi>(), "Multi")?;
    nest_class(&outer, &py.get_type::<Dynamic>(), "Dynamic")
}

/// A definition as an instance of the class of its kind.
pub(crate) fn instance(py: Python<'_>, definition: Definition) -> PyResult<Bound<'_, PyAny>> {
    let definition = Arc::new(definition);
    let base = PyClassInitializer::from(PartitionsDefinition {
        definition: Arc::clone(&definition),
    });
    Ok(match &*definition {
        Definition::Multi(_) => Bound::new(py, base.add_subclass(Multi))?.into_any(),
        Definition::Single(Dimension::Static(_)) => {
            Bound::new(py, base.add_subclass(Static))?.into_any()
        }
        Definition::Single(Dimension::Time(_)) => {
            Bound::new(py, base.add_subclass(TimeWindow))?.into_any()
        }
        Definition::Single(Dimension::Dynamic(_)) => {
            Bound::new(py, base.add_subclass(Dynamic))?.into_any()
        }
    })
}

#[pymethods]
impl Static {
    /// The keys, in order.
    #[getter]
    fn keys(slf: &Bound<'_, Self>) -> Vec<String> {
        match &*slf.as_super().get().definition {
            Definition::Single(Dimension::Static(labels)) => {
                labels.iter().map(str::to_owned).collect()
            }
            _ => unreachable!("a definition has the class of its kind"),
        }
    }
}

impl TimeWindow {
    fn calendar<'a>(slf: &'a Bound<'_, Self>) -> &'a Calendar {
        match &*slf.as_super().get().definition {
            Definition::Single(Dimension::Time(calendar)) => calendar,
            _ => unreachable!("a definition has the class of its kind"),
        }
    }

    /// A time of the wall clock.
    fn at<'py>(slf: &Bound<'py, Self>, wall: Nanos) -> PyResult<Bound<'py, PyAny>> {
        let declared = Self::calendar(slf).declared();
        let zone = declared.zone.as_deref().map(Zone::name);
        datetime(slf.py(), declared.time_of(wall), zone)
    }
}

#[pymethods]
impl TimeWindow {
    /// The cron schedule of the windows' starts; `None` for other intervals than days and hours, and
    /// for an interval whose keys have the default format.
    #[getter]
    fn cron_schedule(slf: &Bound<'_, Self>) -> Option<String> {
        schedule(Self::calendar(slf).declared())
    }

    /// The length of the windows in seconds; `None` for a schedule, and for `daily` and `hourly`.
    #[getter]
    fn interval_seconds(slf: &Bound<'_, Self>) -> Option<f64> {
        let declared = Self::calendar(slf).declared();
        match declared.grid {
            Grid::Interval(step) => {
                let is =
                    |(seconds, fmt)| Grid::seconds(seconds) == declared.grid && fmt == declared.fmt;
                (!is(DAILY) && !is(HOURLY)).then_some(step as f64 / SECOND as f64)
            }
            Grid::Cron(_) | Grid::WallClock(_) | Grid::Months { .. } => None,
        }
    }

    /// The start of the grid: aware if the definition has a zone.
    #[getter]
    fn start<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let declared = Self::calendar(slf).declared();
        Self::at(slf, declared.start)
    }

    /// The end of the grid, before which every window starts; `None` if it has none.
    #[getter]
    fn end<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let end = Self::calendar(slf).declared().end;
        end.map(|end| Self::at(slf, end)).transpose()
    }

    /// The format of the keys.
    #[getter]
    fn fmt(slf: &Bound<'_, Self>) -> String {
        Self::calendar(slf).declared().fmt.clone()
    }
}

#[pymethods]
impl Multi {
    /// The name and the definition of each dimension, in order.
    #[getter]
    fn dimensions<'py>(slf: &Bound<'py, Self>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let single = |(name, dimension): (&str, &Dimension)| {
            let definition = Definition::Single(dimension.clone());
            Ok((name.to_owned(), instance(slf.py(), definition)?))
        };
        let definition = &slf.as_super().get().definition;
        definition.dimensions().into_iter().map(single).collect()
    }
}

#[pymethods]
impl Dynamic {
    /// The name under which a storage keeps the keys.
    #[getter]
    fn name(slf: &Bound<'_, Self>) -> String {
        match &*slf.as_super().get().definition {
            Definition::Single(Dimension::Dynamic(name)) => name.clone(),
            _ => unreachable!("a definition has the class of its kind"),
        }
    }
}
