use std::collections::BTreeMap;
use std::string::ToString;

use spec::scene::environment::{ENVIRONMENTS, Environment, Width};

use super::*;
use crate::fake::{begin, processor};

/// A VMCS of one page in write-back memory, TRUE MSRs, and a revision.
const BASIC: u64 = 1 << 55 | WRITE_BACK << 50 | 4096 << 32 | 0x12;
/// All of a control's bits may be 1.
const MAY: u64 = 0xffff_ffff << 32;
/// Bits that must be 1: of the MSRs without TRUE, and of those with it.
const MUST: [(u32, u64, u64); 4] = [
    (IA32_VMX_PINBASED_CTLS, 0x16, 0x14),
    (IA32_VMX_PROCBASED_CTLS, 0x401_e172, 0x400_6172),
    (IA32_VMX_EXIT_CTLS, 0x3_6dff, 0x3_6dfb),
    (IA32_VMX_ENTRY_CTLS, 0x11ff, 0x11fb),
];

/// Whether an environment needs something.
type Needs<'a> = &'a dyn Fn(&Environment) -> bool;

/// A processor that offers everything, without the bits of one MSR.
fn offers_all_but(msr: u32, bits: u64) {
    let mut msrs = BTreeMap::from([
        (IA32_FEATURE_CONTROL, FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMXON),
        (IA32_VMX_BASIC, BASIC),
        (IA32_VMX_MISC, 0xffff_ffe5),
        (IA32_VMX_CR0_FIXED0, 0x8000_0021),
        (IA32_VMX_CR0_FIXED1, 0xffff_ffff),
        (IA32_VMX_CR4_FIXED0, 0x2000),
        (IA32_VMX_CR4_FIXED1, 0x37_67ff),
        (IA32_VMX_PROCBASED_CTLS2, MAY),
        (IA32_VMX_EPT_VPID_CAP, u64::MAX),
    ]);
    for (msr, must, true_must) in MUST {
        msrs.extend([(msr, MAY | must), (msr + TO_TRUE, MAY | true_must)]);
    }
    *msrs.get_mut(&msr).unwrap() &= !bits;
    let mut processor = processor();
    processor.msrs = msrs;
    processor.cpuid.insert((1, 0), [0, 0, 1 << 5, 0]);
}

fn capabilities() -> Result<Capabilities, String> {
    Capabilities::of(&Cpu::identify()).map_err(|missing| missing.to_string())
}

/// The bit of an MSR that says whether a control may be 1.
fn may(control: u32) -> u64 {
    u64::from(control) << 32
}

#[test]
fn a_control_has_what_must_be_1_and_what_l1_wants() {
    let _turn = begin();
    offers_all_but(IA32_VMX_MISC, 0);
    let capabilities = capabilities().unwrap();
    let Controls { pin_based, processor_based, secondary, exit, entry } = capabilities.controls;
    assert_eq!((pin_based, processor_based, secondary), (0x14, 0x400_6172, None));
    // Host address-space size and "load IA32_EFER"; IA-32e mode guest and "load IA32_EFER".
    assert_eq!((exit, entry), (0x3_6dfb | 1 << 9 | 1 << 21, 0x11fb | 1 << 9 | 1 << 15));
    assert_eq!(capabilities.revision, 0x12);
    assert_eq!(capabilities.preemption_timer_shift(), 5);
    for environment in ENVIRONMENTS {
        let controls = capabilities.controls_for(environment).unwrap();
        let must = if environment.default_controls { 0x401_e172 } else { 0x400_6172 };
        assert_eq!(
            controls.processor_based & !ProcessorBased::SECONDARY.bits(),
            must,
            "{}",
            environment.name
        );
        assert_eq!(
            controls.processor_based >> 31 == 1,
            controls.secondary.is_some(),
            "{}",
            environment.name
        );
        assert_eq!(
            controls.entry >> 9 & 1 == 1,
            matches!(environment.width, Width::Bits64 | Width::Compatibility)
        );
    }
}

#[test]
fn an_environment_is_missing_what_it_needs_and_no_more() {
    let secondary = |environment: &Environment| {
        environment.ept.is_some() || environment.vpid || environment.unrestricted
    };
    let ept = |environment: &Environment| environment.ept.is_some();
    let vpid = |environment: &Environment| environment.vpid;
    let needs: [(u32, u64, Needs<'_>, &str); 11] = [
        (IA32_VMX_PROCBASED_CTLS2, 1 << 33, &ept, "IA32_VMX_PROCBASED_CTLS2[33]"),
        (IA32_VMX_PROCBASED_CTLS2, 1 << 37, &vpid, "IA32_VMX_PROCBASED_CTLS2[37]"),
        (IA32_VMX_PROCBASED_CTLS2, 1 << 39, &|it| it.unrestricted, "IA32_VMX_PROCBASED_CTLS2[39]"),
        (IA32_VMX_EPT_VPID_CAP, 1 << 6, &ept, "[6]"),
        (IA32_VMX_EPT_VPID_CAP, 1 << 14, &ept, "[14]"),
        (IA32_VMX_EPT_VPID_CAP, 1 << 16, &|it| it.ept.is_some_and(|ept| ept.large), "[16]"),
        (IA32_VMX_EPT_VPID_CAP, 1 << 20, &ept, "[25,20]"),
        (IA32_VMX_EPT_VPID_CAP, 1 << 21, &|it| it.ept.is_some_and(|ept| ept.ad), "[21]"),
        (IA32_VMX_EPT_VPID_CAP, 1 << 25, &ept, "[25,20]"),
        (IA32_VMX_EPT_VPID_CAP, 1 << 32, &vpid, "[41,32]"),
        (IA32_VMX_EPT_VPID_CAP, 1 << 41, &vpid, "[41,32]"),
    ];
    let _turn = begin();
    for (msr, bit, needs, text) in needs {
        offers_all_but(msr, bit);
        let capabilities = capabilities().unwrap();
        for environment in ENVIRONMENTS {
            let missing =
                capabilities.controls_for(environment).err().map(|missing| missing.to_string());
            assert_eq!(
                missing.is_some(),
                needs(environment),
                "{} without {msr:x}, {bit:x}",
                environment.name
            );
            assert!(missing.is_none_or(|missing| missing.contains(text)), "{text}");
        }
    }
    // The activation of secondary controls, of either kind of MSR.
    for of_true in [false, true] {
        offers_all_but(IA32_VMX_PROCBASED_CTLS + if of_true { TO_TRUE } else { 0 }, 1 << 63);
        let capabilities = capabilities().unwrap();
        for environment in ENVIRONMENTS {
            let is_missing = capabilities.controls_for(environment).is_err();
            assert_eq!(
                is_missing,
                secondary(environment) && of_true != environment.default_controls
            );
        }
    }
}

#[test]
fn what_every_group_needs_is_missed_at_once() {
    let _turn = begin();
    let (exit, entry) = (IA32_VMX_EXIT_CTLS + TO_TRUE, IA32_VMX_ENTRY_CTLS + TO_TRUE);
    for (msr, control) in [(exit, 1 << 9), (exit, 1 << 21), (entry, 1 << 9), (entry, 1 << 15)] {
        offers_all_but(msr, may(control));
        assert!(capabilities().unwrap_err().contains("load IA32_EFER"));
        // What the other MSR allows is not asked, nor is what must be 1.
        offers_all_but(msr - TO_TRUE, may(control) | u64::from(control));
        assert!(capabilities().is_ok());
    }
    offers_all_but(IA32_VMX_MISC, 0);
    *processor().msrs.get_mut(&(IA32_VMX_PROCBASED_CTLS + TO_TRUE)).unwrap() |= 1 << 24;
    assert!(capabilities().unwrap_err().contains("I/O without exits"));
    processor().cpuid.clear();
    processor().msrs.clear();
    assert!(capabilities().unwrap_err().contains("CPUID.1:ECX[5]"), "no MSR is read without VMX");
}

#[test]
fn msrs_that_need_not_exist_are_not_read() {
    let _turn = begin();
    offers_all_but(IA32_VMX_BASIC, 1 << 55);
    processor().msrs.retain(|msr, _| !(0x48d..=0x490).contains(msr));
    assert_eq!(capabilities().unwrap().controls.processor_based, 0x401_e172);
    // Without secondary controls neither their MSR nor that of EPT and VPIDs.
    offers_all_but(IA32_VMX_PROCBASED_CTLS, 1 << 63);
    *processor().msrs.get_mut(&(IA32_VMX_PROCBASED_CTLS + TO_TRUE)).unwrap() &= !(1 << 63);
    processor()
        .msrs
        .retain(|msr, _| !matches!(*msr, IA32_VMX_PROCBASED_CTLS2 | IA32_VMX_EPT_VPID_CAP));
    assert!(!capabilities().unwrap().has_execute_only());
    assert!(
        !Capabilities::has_invept()
            && !Capabilities::has_invvpid()
            && !Capabilities::has_any_invvpid()
    );
}

#[test]
fn invalidations_and_execute_only_are_there_with_their_control_and_their_bit() {
    let all = || {
        let execute_only = capabilities().unwrap().has_execute_only();
        let (invvpid, any_invvpid) = (Capabilities::has_invvpid(), Capabilities::has_any_invvpid());
        [execute_only, Capabilities::has_invept(), invvpid, any_invvpid]
    };
    let _turn = begin();
    for (msr, bit, want) in [
        (IA32_VMX_MISC, 0, [true, true, true, true]),
        (IA32_VMX_PROCBASED_CTLS2, 1 << 33, [false, false, true, true]),
        (IA32_VMX_PROCBASED_CTLS2, 1 << 37, [true, true, false, false]),
        (IA32_VMX_EPT_VPID_CAP, 1 << 0, [false, true, true, true]),
        (IA32_VMX_EPT_VPID_CAP, 1 << 20, [true, false, true, true]),
        (IA32_VMX_EPT_VPID_CAP, 1 << 32, [true, true, false, false]),
        (IA32_VMX_EPT_VPID_CAP, 1 << 41, [true, true, false, true]),
    ] {
        offers_all_but(msr, bit);
        assert_eq!(all(), want, "{msr:x} {bit:x}");
    }
    for kind in 0..4 {
        offers_all_but(IA32_VMX_EPT_VPID_CAP, 1 << (40 + kind));
        assert_eq!(
            [0, 1, 2, 3].map(Capabilities::has_invvpid_of),
            [0, 1, 2, 3].map(|other| other != kind)
        );
    }
}

#[test]
fn what_scenes_add_must_be_allowed() {
    let _turn = begin();
    offers_all_but(IA32_VMX_ENTRY_CTLS + TO_TRUE, may(1 << 20));
    assert_eq!(capabilities().unwrap().entry_with_cet(), None);
    offers_all_but(IA32_VMX_PINBASED_CTLS, may(1 << 0));
    let without_pin = capabilities().unwrap();
    assert!(
        without_pin.interrupt_exiting().is_none()
            && !without_pin.allows_pins(0x29)
            && without_pin.allows_pins(0x28)
    );
    offers_all_but(IA32_VMX_EXIT_CTLS + TO_TRUE, may(1 << 15));
    assert!(capabilities().unwrap().interrupt_exiting().is_none());
    offers_all_but(IA32_VMX_PROCBASED_CTLS2, may(1 << 12));
    let all = capabilities().unwrap();
    assert_eq!(all.entry_with_cet(), Some(all.controls.entry | 1 << 20));
    assert_eq!(all.interrupt_exiting(), Some((1, all.controls.exit | 1 << 15)));
    assert_eq!(
        all.processor_based(ProcessorBased::INVLPG_EXITING, Secondary::ENABLE_INVPCID),
        None
    );
    let both = all.processor_based(ProcessorBased::INVLPG_EXITING, Secondary::EPT);
    assert_eq!(both, Some((0x8400_6172 | 1 << 9, 1 << 1)));
}

#[test]
fn control_registers_have_what_vmx_operation_wants() {
    let _turn = begin();
    offers_all_but(IA32_VMX_MISC, 0);
    let capabilities = capabilities().unwrap();
    assert_eq!(capabilities.fixed(1 << 16, 1 << 5), (0x8001_0021, 0x2020));
    assert!(capabilities.allows(0x8000_0021, 0x2000));
    assert!(!capabilities.allows(0x8000_0001, 0x2000), "CR0.NE must be 1");
    assert!(!capabilities.allows(0x8000_0021, 0), "CR4.VMXE must be 1");
    assert!(!capabilities.allows(0x8000_0021, 0x2000 | 1 << 22), "CR4.PKE may not be 1");
}

#[test]
fn a_vmcs_region_is_a_page_of_write_back_memory() {
    let _turn = begin();
    for (basic, is_right) in [
        (BASIC, true),
        (BASIC & !(0x1fff << 32) | 1024 << 32, true),
        (BASIC + (1 << 32), false),
        (BASIC & !(0xf << 50), false),
    ] {
        offers_all_but(IA32_VMX_MISC, 0);
        processor().msrs.insert(IA32_VMX_BASIC, basic);
        assert_eq!(capabilities().is_ok(), is_right, "{basic:x}");
    }
}

#[test]
fn vmx_is_turned_on_where_firmware_left_it_open() {
    let _turn = begin();
    for (before, after) in [
        (0, Some(5)),
        (4, Some(5)),
        (5, Some(5)),
        (0x10_0005, Some(0x10_0005)),
        (1, None),
        (3, None),
    ] {
        offers_all_but(IA32_VMX_MISC, 0);
        processor().msrs.insert(IA32_FEATURE_CONTROL, before);
        let is_on = capabilities().is_ok();
        assert_eq!(is_on, after.is_some(), "{before:x}");
        assert_eq!(processor().msrs[&IA32_FEATURE_CONTROL], after.unwrap_or(before));
    }
}
