//! Whatever the bytes are, there is a verdict and no panic; and the verdict is consistent.

use kmodlab::predict::{Decision, Force, Verdict};
use proptest::prelude::*;

use crate::predict::kernels::{debian, upstream};
use crate::predict::{fixture, hello, insmod_damaged};

const FORCES: [Force; 4] = [Force::None, Force::Vermagic, Force::Modversions, Force::Both];
const VERSIONS: [&str; 8] = ["2.6.18", "3.16.0", "4.19.0", "5.10.0", "6.1.0", "6.6.0", "6.14.0", "7.2.0"];

/// The conditions that each verdict must meet.
fn assert_sound(verdict: &Verdict) {
    let is_refused = verdict.answer == Decision::Refused;
    assert_eq!(is_refused, verdict.stage.is_some());
    assert_eq!(is_refused, !verdict.errnos.is_empty());
    assert_eq!(verdict.errno, (verdict.errnos.len() == 1).then(|| verdict.errnos[0]));
    assert!(verdict.errnos.len() < 2 || !verdict.undecided.is_empty(), "{verdict:#?}");
    assert!(is_refused || verdict.undecided.is_empty());
    assert!(verdict.answer != Decision::Unknown || verdict.taint.is_none());
    assert!(verdict.answer == Decision::Unknown || !verdict.undecided.is_empty() || verdict.taint.is_some());
}

#[test]
fn each_hostile_fixture_gets_a_verdict_of_each_kernel() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/hostile");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for version in VERSIONS {
            for force in FORCES {
                assert_sound(&insmod_damaged(&bytes, &debian(version), force));
                count += 1;
            }
        }
    }
    assert!(count > 1000, "{count}");
}

#[test]
fn each_truncation_gets_a_verdict() {
    let bytes = fixture("modules/hello-4-signed.ko");
    for end in (0..bytes.len()).step_by(7) {
        for version in ["5.10.0", "6.1.0", "6.6.0", "7.2.0"] {
            assert_sound(&insmod_damaged(&bytes[..end], &debian(version), Force::None));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_modules_get_sound_verdicts(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        version in prop::sample::select(&VERSIONS[..]),
        force in prop::sample::select(&FORCES[..]),
        is_debian in any::<bool>(),
    ) {
        let mut bytes = hello(&[]);
        let length = bytes.len();
        for (place, byte) in changes {
            bytes[place.index(length)] = byte;
        }
        let kernel = if is_debian { debian(version) } else { upstream(version) };
        assert_sound(&insmod_damaged(&bytes, &kernel, force));
    }

    #[test]
    fn forcing_both_is_never_refused_for_vermagic_or_crcs_by_a_kernel_that_can_be_forced(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        version in prop::sample::select(&["5.10.0", "6.1.0", "6.6.0", "6.14.0"][..]),
    ) {
        use kmodlab::predict::LoaderStep::{ModuleLayout, Vermagic};
        let mut bytes = hello(&[]);
        let length = bytes.len();
        for (place, byte) in changes {
            bytes[place.index(length)] = byte;
        }
        let stage = insmod_damaged(&bytes, &debian(version), Force::Both).stage;
        prop_assert!(!matches!(stage, Some(ModuleLayout | Vermagic)));
    }
}
