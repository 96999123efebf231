//! Compares the images of mappings, which are arithmetic, with a loop over all pairs of partitions.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::sample::Index;
use rivers_core::space::labels::Labels;
use rivers_core::space::mapping::Names;
use rivers_core::space::time::{Calendar, DAY, Declared, Grid, Nanos, SECOND, TimeAxis};
use rivers_core::space::{
    Axis, Definition, DimRange, Dimension, IndexSet, Key, Mapping, Members, PositionSet, RangeSpec,
    Selection, Selector, Selectors, Space,
};

const NAMES: Names<'_> = Names {
    down: "the downstream",
    up: "the upstream",
};

/// The windows at one offset.
fn shifted(offset: i64) -> Mapping {
    Mapping::TimeWindow {
        start: offset,
        end: offset,
    }
}

const HOUR: Nanos = 3_600 * SECOND;
/// 2024-01-01, a Monday.
const START: Nanos = 19_723 * DAY;

fn keys(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn names(names: &[&str]) -> Definition {
    Definition::static_(names).unwrap()
}

fn time(grid: Grid, from: Nanos, to: Nanos) -> Definition {
    time_with(grid, from, to, "%Y-%m-%dT%H")
}

fn time_with(grid: Grid, from: Nanos, to: Nanos, fmt: &str) -> Definition {
    let (start, end) = (START + from, Some(START + to));
    let fmt = fmt.to_owned();
    let calendar = Calendar::try_from(Declared {
        start,
        end,
        grid,
        fmt,
        zone: None,
        exclude: Vec::new(),
    })
    .unwrap();
    Definition::Single(Dimension::Time(Arc::new(calendar)))
}

fn daily(from: Nanos, to: Nanos) -> Definition {
    time(Grid::seconds(86_400), from * DAY, to * DAY)
}

fn cron(expression: &str, from: Nanos, to: Nanos) -> Definition {
    time(Grid::Cron(expression.into()), from * DAY, to * DAY)
}

fn multi(dims: &[(&str, Definition)]) -> Definition {
    Definition::multi(
        dims.iter()
            .map(|(name, def)| ((*name).to_owned(), def.clone())),
    )
    .unwrap()
}

fn definitions() -> Vec<Definition> {
    let letters = || names(&["a", "b", "c", "d"]);
    vec![
        letters(),
        names(&["d", "x", "c"]),
        daily(0, 6),
        daily(2, 9),
        time(Grid::seconds(6 * 3600), 30 * HOUR, 100 * HOUR),
        time(Grid::seconds(17 * 3600), 0, 6 * DAY),
        cron("0 5 * * MON,WED,SAT", 0, 14),
        cron("0 5 * * MON,WED,SAT", 5, 24),
        cron("0 6 * * *", 1, 9),
        multi(&[("date", daily(0, 4)), ("letter", letters())]),
        multi(&[("letter", names(&["d", "b", "y"])), ("date", daily(1, 5))]),
        multi(&[
            ("hour", time(Grid::seconds(6 * 3600), 0, 30 * HOUR)),
            ("kind", letters()),
        ]),
        multi(&[
            ("letter", letters()),
            ("kind", names(&["x", "c"])),
            ("date", daily(0, 3)),
        ]),
    ]
}

fn pairs(given: &[(&str, &[&str])]) -> Mapping {
    Mapping::Static(
        given
            .iter()
            .map(|(key, to)| ((*key).to_owned(), keys(to)))
            .collect(),
    )
}

/// By downstream dimension: the upstream dimension, and how it follows.
fn of_dims(given: &[(&str, &str, Mapping)]) -> Mapping {
    let entry = |(own, other, mapping): &(&str, &str, Mapping)| {
        ((*other).to_owned(), ((*own).to_owned(), mapping.clone()))
    };
    Mapping::Multi(given.iter().map(entry).collect::<BTreeMap<_, _>>())
}

fn mappings() -> Vec<Mapping> {
    let (window, from_to) = (shifted, |start, end| Mapping::TimeWindow { start, end });
    let single = |dim: &str, mapping| Mapping::MultiToSingle {
        dim: dim.to_owned(),
        mapping: Box::new(mapping),
    };
    let simple = [
        Mapping::Identity,
        Mapping::AllPartitions,
        pairs(&[("a", &["d", "c"]), ("b", &[]), ("d", &["d"])]),
        pairs(&[("c", &["c"])]),
        window(0),
        window(-1),
        window(2),
        window(-7),
        window(i64::MIN),
        window(i64::MAX),
        from_to(-3, 0),
        from_to(-1, 2),
        from_to(2, 5),
        from_to(-9, -2),
        Mapping::SpecificPartitions(keys(&["c", "d"])),
        Mapping::SpecificPartitions(keys(&["2024-01-03T00"])),
        Mapping::Subset,
    ];
    let mut all = simple.to_vec();
    for inner in &simple {
        for dim in ["date", "letter", "kind", "hour"] {
            all.push(single(dim, inner.clone()));
            for other in ["date", "letter", "kind", "hour"] {
                all.push(of_dims(&[(dim, other, inner.clone())]));
            }
        }
    }
    all.push(of_dims(&[
        ("date", "hour", window(-1)),
        ("letter", "kind", pairs(&[("b", &["b"]), ("d", &["d"])])),
    ]));
    all.push(of_dims(&[
        ("letter", "kind", Mapping::Subset),
        ("letter", "letter", Mapping::Identity),
    ]));
    all.push(of_dims(&[
        ("kind", "kind", Mapping::Subset),
        (
            "kind",
            "letter",
            pairs(&[("c", &["a", "c"]), ("d", &["b"])]),
        ),
        ("date", "date", window(0)),
    ]));
    all.push(of_dims(&[
        ("letter", "kind", Mapping::Subset),
        ("kind", "letter", Mapping::Subset),
    ]));
    all
}

fn space(definition: &Definition) -> Arc<Space> {
    definition
        .resolve(0, &|_| Ok(Arc::new(Labels::new([""; 0]).unwrap())))
        .unwrap()
}

/// The starts and ends of windows.
type Windows = Arc<Vec<(Nanos, Nanos)>>;

/// The windows of a schedule for years before and after `START`, in order.
fn windows_of(expression: &str) -> Arc<Vec<(Nanos, Nanos)>> {
    static KNOWN: Mutex<BTreeMap<String, Windows>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap();
    let windows = known.entry(expression.to_owned()).or_insert_with(|| {
        let wide = space(&cron(expression, -3_000, 3_000));
        let axis = wide.dims()[0].axis.time().unwrap();
        Arc::new((0..axis.len()).map(|n| axis.window(n)).collect())
    });
    Arc::clone(windows)
}

/// Start and end of the window at an offset, also where the grid itself does not reach.
fn window(own: &TimeAxis, n: i128) -> Option<(Nanos, Nanos)> {
    match &own.calendar().declared().grid {
        Grid::Interval(step) => {
            let at = |n: Nanos| own.start_of(0) + n * Nanos::from(*step);
            Some((at(n), at(n + 1)))
        }
        Grid::WallClock(_) | Grid::Months { .. } => panic!("not among the definitions"),
        Grid::Cron(expression) => {
            let all = windows_of(expression);
            let first = all.iter().position(|one| *one == own.window(0)).unwrap();
            all.get(usize::try_from(first as i128 + n).ok()?).copied()
        }
    }
}

/// Whether a key of one dimension needs a key of another.
fn needs_key(mapping: &Mapping, down: &Axis, i: u32, up: &Axis, j: u32) -> bool {
    let (own, there) = (down.label(i).into_owned(), up.label(j).into_owned());
    match mapping {
        Mapping::Identity | Mapping::Subset => own == there,
        Mapping::AllPartitions => true,
        Mapping::Static(pairs) => pairs.get(&own).is_some_and(|keys| keys.contains(&there)),
        Mapping::SpecificPartitions(keys) => keys.contains(&there),
        Mapping::TimeWindow {
            start: from,
            end: to,
        } => {
            let (Axis::Time(down), Axis::Time(up)) = (down, up) else {
                panic!("no time")
            };
            let (start, end) = up.window(j);
            (*from..=*to).any(|offset| {
                window(down, i128::from(i) + i128::from(offset))
                    .is_some_and(|(from, to)| from < end && start < to)
            })
        }
        Mapping::ForKeys(_) | Mapping::Multi(_) | Mapping::MultiToSingle { .. } => {
            panic!("not of one dimension")
        }
    }
}

/// Whether a partition needs another.
fn needs(mapping: &Mapping, down: &Space, p: u64, up: &Space, q: u64) -> bool {
    let place = |space: &Space, name: &str| space.dims().iter().position(|dim| dim.name == name);
    let holds = |own: usize, there: usize, mapping: &Mapping| {
        let (own_axis, up_axis) = (&down.dims()[own].axis, &up.dims()[there].axis);
        needs_key(
            mapping,
            own_axis,
            down.index(p, own),
            up_axis,
            up.index(q, there),
        )
    };
    // The dimensions that the mapping names, then the others by name.
    let rest = |given: &[(usize, usize, &Mapping)], other: &Mapping| {
        given
            .iter()
            .all(|(own, there, mapping)| holds(*own, *there, mapping))
            && (0..up.dims().len())
                .filter(|at| given.iter().all(|g| g.1 != *at))
                .all(|there| match place(down, &up.dims()[there].name) {
                    Some(own) if given.iter().all(|g| g.0 != own) => holds(own, there, other),
                    _ => true,
                })
    };
    let timed = |space: &Space| {
        space
            .dims()
            .iter()
            .position(|dim| matches!(dim.axis, Axis::Time(_)))
            .unwrap()
    };
    match mapping {
        Mapping::AllPartitions => true,
        Mapping::Identity | Mapping::Subset => rest(&[], mapping),
        Mapping::TimeWindow { .. } => {
            rest(&[(timed(down), timed(up), mapping)], &Mapping::Identity)
        }
        Mapping::ForKeys(_) => panic!("not between partitions"),
        Mapping::Static(_) | Mapping::SpecificPartitions(_) => {
            let own = if down.is_multi() { 0 } else { down.index(p, 0) };
            needs_key(
                mapping,
                &down.dims()[0].axis,
                own,
                &up.dims()[0].axis,
                up.index(q, 0),
            )
        }
        Mapping::Multi(given) => {
            let given = given.iter().map(|(other, (own, mapping))| {
                (
                    place(down, own).unwrap(),
                    place(up, other).unwrap(),
                    mapping,
                )
            });
            rest(&given.collect::<Vec<_>>(), &Mapping::Identity)
        }
        Mapping::MultiToSingle { dim, mapping } => {
            let at = |space: &Space| {
                if space.is_multi() {
                    place(space, dim).unwrap()
                } else {
                    0
                }
            };
            holds(at(down), at(up), mapping)
        }
    }
}

fn selections(space: &Arc<Space>, picks: &[Index]) -> Vec<Selection> {
    let set = |axis: &Axis| {
        IndexSet::from_positions(
            picks
                .iter()
                .map(|pick| pick.index(axis.len() as usize) as u32),
        )
    };
    let sets = space.dims().iter().map(|dim| set(&dim.axis)).collect();
    let some: Vec<u64> = picks
        .iter()
        .map(|pick| pick.index(space.len() as usize) as u64)
        .collect();
    let one = Members::One(some[0]);
    [
        Members::Product(sets),
        one,
        Members::Explicit(PositionSet::in_order(some)),
    ]
    .map(|members| Selection::new(Arc::clone(space), members))
    .into_iter()
    .chain([Selection::all(Arc::clone(space))])
    .collect()
}

fn members(selection: &Selection) -> BTreeSet<u64> {
    let members: BTreeSet<u64> = selection.iter().collect();
    assert_eq!(members.len() as u64, selection.len());
    members
}

/// Pairs of spaces and mappings that can relate them.
fn related() -> Vec<(Mapping, Arc<Space>, Arc<Space>)> {
    let (definitions, mut found) = (definitions(), Vec::new());
    for mapping in mappings() {
        for down in &definitions {
            for up in &definitions {
                if mapping.check(Some(down), Some(up), NAMES).is_ok() {
                    found.push((mapping.clone(), space(down), space(up)));
                }
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]
    #[test]
    fn images_are_those_of_a_loop_over_all_pairs(picks in prop::collection::vec(any::<Index>(), 1..6)) {
        for (mapping, down, up) in related() {
            let needs = |p, q| needs(&mapping, &down, p, &up, q);
            for chosen in selections(&down, &picks) {
                let expected = (0..up.len()).filter(|&q| chosen.iter().any(|p| needs(p, q)));
                let same_key_everywhere = |p| (0..up.len()).any(|q| needs(p, q));
                match mapping.upstream(&chosen, &up) {
                    Ok(image) => prop_assert_eq!(
                        members(&image), expected.collect::<BTreeSet<_>>(), "{:?} of {:?}", mapping, chosen),
                    // Identity, also of a dimension that is not named, refuses what is not there.
                    Err(error) => prop_assert!(
                        !chosen.iter().all(same_key_everywhere), "{:?} of {:?}: {}", mapping, chosen, error),
                }
            }
            for chosen in selections(&up, &picks) {
                let expected = (0..down.len()).filter(|&p| chosen.iter().any(|q| needs(p, q)));
                let found = mapping.downstream(&chosen, &down).unwrap();
                prop_assert_eq!(
                    members(&found), expected.collect::<BTreeSet<_>>(), "{:?} to {:?}", mapping, chosen);
            }
        }
    }
}

#[test]
fn each_kind_relates_some_of_the_definitions() {
    let (related, mut seen) = (related(), BTreeSet::new());
    for (mapping, ..) in &related {
        seen.insert(
            format!("{mapping:?}")
                .split([' ', '('])
                .next()
                .unwrap()
                .to_owned(),
        );
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
    assert!(related.len() > 300, "{}", related.len());
}

#[test]
fn a_product_of_a_thousand_million_is_mapped_by_arithmetic() {
    let (down, up) = (
        multi(&[("minute", time_of(60)), ("n", many())]),
        multi(&[("hour", time_of(3600)), ("n", many())]),
    );
    let hours = of_dims(&[("minute", "hour", shifted(-60))]);
    hours.check(Some(&down), Some(&up), NAMES).unwrap();
    let (down, up) = (space(&down), space(&up));
    assert_eq!(down.len(), 1_051_200_000);
    let image = hours
        .upstream(&Selection::all(Arc::clone(&down)), &up)
        .unwrap();
    // The hour before the first does not exist, so the last one is not needed either.
    assert!(
        matches!(image.members(), Members::Product(_)),
        "{:?}",
        image.members()
    );
    assert_eq!(image.len(), (8760 - 1) * 2000);
    let back = hours.downstream(&image, &down).unwrap();
    let Members::Product(sets) = back.members() else {
        panic!("{:?}", back.members())
    };
    assert_eq!(sets[0], IndexSet::Range(60..525_600));
    assert_eq!(back.len(), (525_600 - 60) * 2000);
}

fn time_of(step: u32) -> Definition {
    time_with(Grid::seconds(step), 0, 365 * DAY, "%Y-%m-%dT%H:%M")
}

fn many() -> Definition {
    Definition::static_((0..2000).map(|n| format!("n{n}"))).unwrap()
}

#[test]
fn what_cannot_be_related_is_refused_with_the_reason() {
    let day = daily(0, 4);
    let letters = names(&["a", "b"]);
    let both = multi(&[("date", day.clone()), ("letter", letters.clone())]);
    let window = shifted(-1);
    for (mapping, down, up, told) in [
        (window.clone(), &letters, &day, "exactly one"),
        (
            Mapping::Identity,
            &letters,
            &names(&["b", "c"]),
            "does not have the key \"a\"",
        ),
        (Mapping::Identity, &letters, &both, "share none"),
        (pairs(&[("z", &["a"])]), &letters, &letters, "\"z\""),
        (pairs(&[("a", &["z"])]), &letters, &letters, "\"z\""),
        (pairs(&[("a", &["a"])]), &both, &letters, "inside multi or"),
        (
            Mapping::SpecificPartitions(keys(&["2024-01-09T00"])),
            &day,
            &day,
            "2024-01-09",
        ),
        (
            Mapping::ForKeys(Selectors::new([key("b")])),
            &letters,
            &letters,
            "the upstream has partitions",
        ),
        (
            of_dims(&[("dat", "date", window.clone())]),
            &both,
            &both,
            "did you mean \"date\"",
        ),
        (
            of_dims(&[("letter", "letter", window.clone())]),
            &both,
            &both,
            "two time dimensions",
        ),
        (
            of_dims(&[("date", "date", window)]),
            &both,
            &day,
            "use multi_to_single",
        ),
        (
            Mapping::MultiToSingle {
                dim: "date".into(),
                mapping: Box::new(Mapping::Identity),
            },
            &both,
            &both,
            "to one without",
        ),
    ] {
        let reason = mapping.check(Some(down), Some(up), NAMES).unwrap_err();
        assert!(reason.contains(told), "{mapping:?}: {reason}");
    }
    let reason = Mapping::AllPartitions
        .check(Some(&day), None, NAMES)
        .unwrap_err();
    assert!(reason.contains("the upstream has none"), "{reason}");
}

#[test]
fn something_unpartitioned_may_need_all_or_some() {
    let (one, letters) = (Space::unpartitioned(), names(&["a", "b", "c"]));
    let some = Mapping::SpecificPartitions(keys(&["a", "c"]));
    for (mapping, image) in [
        (&Mapping::AllPartitions, vec![0, 1, 2]),
        (&some, vec![0, 2]),
    ] {
        mapping.check(None, Some(&letters), NAMES).unwrap();
        let found = mapping
            .upstream(&Selection::all(Arc::clone(&one)), &space(&letters))
            .unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), image);
    }
    let b = Selection::new(space(&letters), Members::One(1));
    assert!(some.downstream(&b, &one).unwrap().is_empty());
    assert_eq!(
        Mapping::AllPartitions.downstream(&b, &one).unwrap().len(),
        1
    );
}

fn key(value: &str) -> Selector {
    Selector::Key(Key::single(vec![value.into()]).unwrap())
}

fn range(from: &str, to: &str) -> Selector {
    Selector::range(RangeSpec::Single(DimRange::Range(from.into(), to.into())))
}

#[test]
fn for_keys_gives_an_upstream_without_partitions_to_the_partitions_named() {
    let letters = names(&["a", "b", "c", "d", "e"]);
    let some = Mapping::ForKeys(Selectors::new([range("b", "c"), key("e"), key("e")]));
    some.check(Some(&letters), None, NAMES).unwrap();
    let (letters, one) = (space(&letters), Space::unpartitioned());
    let needs = |partition: u64| {
        let of = Selection::new(Arc::clone(&letters), Members::One(partition));
        !some.upstream(&of, &one).unwrap().is_empty()
    };
    assert_eq!(
        (0..5).map(needs).collect::<Vec<_>>(),
        [false, true, true, false, true]
    );
    assert!(
        !some
            .upstream(&Selection::all(Arc::clone(&letters)), &one)
            .unwrap()
            .is_empty()
    );
    let all = Selection::all(one);
    let back = some.downstream(&all, &letters).unwrap();
    assert_eq!(back.iter().collect::<Vec<_>>(), [1, 2, 4]);
}

#[test]
fn a_selector_of_for_keys_must_name_partitions_of_the_downstream() {
    let (letters, day) = (names(&["a", "b"]), daily(0, 4));
    let both = multi(&[("date", day.clone()), ("letter", letters.clone())]);
    for (selector, definition, told) in [
        (key("z"), &letters, "\"z\""),
        (range("b", "a"), &letters, "inverted"),
        (range("2024-01-03T00", "2024-01-02T00"), &day, "inverted"),
        (
            range("2024-01-03T00", "2024-01-09T00"),
            &day,
            "2024-01-09T00",
        ),
        (key("a"), &both, "without dimension names"),
        (
            Selector::Key(Key::multi(vec![("letter".into(), vec!["a".into()])]).unwrap()),
            &both,
            "no value for the dimension \"date\"",
        ),
        (
            Selector::range(RangeSpec::Multi(vec![(
                "leter".into(),
                DimRange::Keys(vec!["a".into()]),
            )])),
            &both,
            "did you mean \"letter\"",
        ),
    ] {
        let mapping = Mapping::ForKeys(Selectors::new([selector]));
        let reason = mapping.check(Some(definition), None, NAMES).unwrap_err();
        assert!(reason.contains(told), "{mapping:?}: {reason}");
    }
}

#[test]
fn the_month_before_the_first_is_reached_on_a_cron_grid() {
    let days = daily(0, 300);
    // From June on.
    let months = cron("0 0 1 * *", 150, 300);
    let (months, days) = (space(&months), space(&days));
    let june = Selection::new(Arc::clone(&months), Members::One(0));
    assert_eq!(months.text(0), "2024-06-01T00");
    let may = shifted(-1).upstream(&june, &days).unwrap();
    assert_eq!(
        (may.len(), days.text(may.nth(0))),
        (31, "2024-05-01T00".into())
    );
    let back = shifted(-1).downstream(&may, &months).unwrap();
    assert_eq!(back.iter().collect::<Vec<_>>(), [0]);
}

#[test]
fn what_an_earlier_version_stored_is_read() {
    // Variants are stored by number: 3 is `time_window`, 5 was `for_keys` between equal keys, and 7 is
    // `multi` by downstream dimension.
    let read = |bytes: &[u8]| postcard::from_bytes::<Mapping>(bytes).unwrap();
    assert_eq!(read(&[3, 1]), shifted(-1));
    assert_eq!(read(&[5, 1, 1, b'a']), pairs(&[("a", &["a"])]));
    assert_eq!(
        read(&[7, 1, 1, b'd', 1, b'u', 6]),
        of_dims(&[("d", "u", Mapping::Subset)])
    );
    for mapping in mappings() {
        let bytes = postcard::to_stdvec(&mapping).unwrap();
        assert_eq!(read(&bytes), mapping);
    }
}

#[test]
fn a_width_may_reach_all_earlier_windows() {
    let earlier = Mapping::TimeWindow {
        start: i64::MIN,
        end: -1,
    };
    for days in [daily(0, 9), cron("0 0 * * *", 0, 9)] {
        let days = space(&days);
        let third = Selection::new(Arc::clone(&days), Members::One(3));
        let found = earlier.upstream(&third, &days).unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), [0, 1, 2]);
        let back = earlier.downstream(&third, &days).unwrap();
        assert_eq!(back.iter().collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
    }
}
