//! What users record about assets without running anything.

use std::sync::Arc;

use rivers_core::backfill::{Report, ReportKind};
use rivers_core::space::{IndexSet, Members, PositionSet, Selection};

use super::{Fixture, space};

fn report(asset: &str, kind: ReportKind, at: i64, selection: Selection) -> Report {
    Report {
        asset: asset.into(),
        kind,
        at,
        selection,
        code_version: Some("v1".into()),
        metadata: Some(r#"{"rows": 5}"#.into()),
    }
}

pub(crate) fn reports_are_read_newest_first_for_each_asset(fixture: &impl Fixture) {
    let store = fixture.open();
    let all = Selection::all(space(1_000));
    let some = Members::Explicit(PositionSet::in_order([9, 3, 400]));
    let some = Selection::new(Arc::clone(all.space()), some);
    let first = report("a", ReportKind::Materialized, 5, all);
    let second = Report {
        metadata: None,
        code_version: None,
        ..report("a", ReportKind::Forgotten, 4, some)
    };
    let other = report("b", ReportKind::Materialized, 6, first.selection.clone());
    for own in [&first, &second, &other] {
        store.report(own).unwrap();
    }
    assert_eq!(store.reports("a").unwrap(), [second.clone(), first.clone()]);
    assert_eq!(store.reports("c").unwrap(), []);
    drop(store);
    let again = fixture.open();
    assert_eq!(again.reports("b").unwrap().len(), 1);
    assert_eq!(again.check(), Ok(vec![]));
}

pub(crate) fn a_report_on_a_part_of_a_dimension_keeps_its_space(fixture: &impl Fixture) {
    let store = fixture.open();
    for size in [10, 20] {
        let part = Members::Product(vec![IndexSet::Range(2..7)]);
        let part = Selection::new(space(size), part);
        let own = report("a", ReportKind::Materialized, size as i64, part);
        store.report(&own).unwrap();
        assert_eq!(store.reports("a").unwrap()[0], own);
    }
}
