use std::string::ToString;

use spec::scene::environment::ENVIRONMENTS;
use spec::walk::setting::SETTINGS;

use super::*;
use crate::fake::{begin, processor};

/// A bit of CPUID: leaf, register (EAX, EBX, ECX, EDX), number.
type Bit = (u32, usize, u32);

const NX: Bit = (0x8000_0001, 3, 20);
const SMEP: Bit = (7, 1, 7);
const SMAP: Bit = (7, 1, 20);
const PSE: Bit = (1, 3, 3);
const LA57: Bit = (7, 2, 16);

/// A processor whose leaves hold the same word in each register, except for one bit.
fn with_all_but(words: u32, (leaf, register, bit): Bit) -> Cpu {
    let mut processor = processor();
    for leaf in [1, 7, 0x8000_0001] {
        processor.cpuid.insert((leaf, 0), [words; 4]);
    }
    processor.cpuid.insert((0, 0), [7, 0, 0, 0]);
    processor.cpuid.insert((0x8000_0000, 0), [0x8000_0008, 0, 0, 0]);
    processor.cpuid.insert((0x8000_0008, 0), [0x3027, 0, 0, 0]);
    processor.cpuid.get_mut(&(leaf, 0)).unwrap()[register] ^= 1 << bit;
    drop(processor);
    Cpu::identify()
}

#[test]
fn a_feature_is_its_own_bit_of_cpuid() {
    let _turn = begin();
    for (feature, bit) in [
        (Feature::Cmpxchg16b, (1, 2, 13)),
        (Feature::Xsave, (1, 2, 26)),
        (Feature::Invpcid, (7, 1, 10)),
        (Feature::InvpcidExiting, (7, 1, 10)),
        (Feature::InvpcidWithoutExits, (7, 1, 10)),
        (Feature::Pcid, (1, 2, 17)),
        (Feature::Pku, (7, 2, 3)),
        (Feature::Pks, (7, 2, 31)),
        (Feature::ShadowStack, (7, 2, 7)),
        (Feature::GbytePages, (0x8000_0001, 3, 26)),
    ] {
        assert!(with_all_but(0, bit).lacks_feature(feature).is_none(), "{feature:?}");
        let reason = with_all_but(u32::MAX, bit).lacks_feature(feature).unwrap();
        assert!(reason.contains(&std::format!("[{}]", bit.2)), "{reason}");
    }
    assert!(with_all_but(0, (1, 2, 5)).has_vmx() && !with_all_but(u32::MAX, (1, 2, 5)).has_vmx());
}

#[test]
fn modes_and_environments_need_their_own_bits() {
    let _turn = begin();
    for bit in [NX, SMEP, SMAP, PSE, LA57] {
        let cpu = with_all_but(u32::MAX, bit);
        for setting in SETTINGS {
            // A mode may do without SMEP and SMAP.
            let needs = setting.mode.nxe && bit == NX;
            assert_eq!(cpu.lacks(setting.mode).is_some(), needs, "{} {bit:?}", setting.name);
        }
        for environment in ENVIRONMENTS {
            let needs = match environment.format {
                Format::Legacy { pse } => pse && bit == PSE,
                Format::Level5 => bit == LA57,
                Format::Pae | Format::Level4 => false,
            };
            let needs = needs || cpu.lacks(environment.mode).is_some();
            assert_eq!(
                cpu.lacks_environment(environment).is_some(),
                needs,
                "{} {bit:?}",
                environment.name
            );
        }
    }
}

#[test]
fn leaves_that_are_not_there_say_nothing() {
    let _turn = begin();
    let cpu = with_all_but(u32::MAX, PSE);
    assert_eq!(cpu.maxphyaddr, 0x27, "bits 7:0");
    processor().cpuid.insert((0, 0), [6, 0, 0, 0]);
    assert!(Cpu::identify().lacks_feature(Feature::Pku).is_some(), "leaf 7 is beyond the last");
    processor().cpuid.insert((0x8000_0000, 0), [0x8000_0007, 0, 0, 0]);
    assert_eq!(Cpu::identify().maxphyaddr, 36);
    assert!(Cpu::identify().lacks_feature(Feature::GbytePages).is_none());
    processor().cpuid.insert((0x8000_0000, 0), [0, 0, 0, 0]);
    assert!(Cpu::identify().lacks_feature(Feature::GbytePages).is_some());
}

#[test]
fn x2apic_mode_is_left_where_that_is_allowed() {
    const X2APIC: u64 = 0xfee0_0d00;
    const XAPIC: u64 = 0xfee0_0900;
    let _turn = begin();
    for (edx, capabilities, status, before, after) in [
        (0, 0, 0, X2APIC, XAPIC),
        (1 << 29, 0, 1, X2APIC, XAPIC),
        (1 << 29, 1 << 21, 0, X2APIC, XAPIC),
        (1 << 29, 1 << 21, 1, X2APIC, X2APIC),
        (0, 0, 0, XAPIC, XAPIC),
        (0, 0, 0, 0xfee0_0100, 0xfee0_0100),
    ] {
        let _ = with_all_but(u32::MAX, PSE);
        let [eax, ebx, ecx, _] = processor().cpuid[&(7, 0)];
        processor().cpuid.insert((7, 0), [eax, ebx, ecx, edx]);
        processor().msrs.insert(IA32_APIC_BASE, before);
        processor().msrs.insert(IA32_ARCH_CAPABILITIES, capabilities);
        processor().msrs.insert(IA32_XAPIC_DISABLE_STATUS, status);
        Cpu::identify().leave_x2apic();
        assert_eq!(
            processor().msrs[&IA32_APIC_BASE],
            after,
            "{before:x} {capabilities:x} {status}"
        );
    }
    processor().msrs.clear();
    with_all_but(u32::MAX, (1, 3, 9)).leave_x2apic();
}

#[test]
fn the_local_apic_counts_in_xapic_mode_only() {
    let _turn = begin();
    for (base, page) in [
        (0xfee0_0900, Some(0xfee0_0000)),
        (0xfee0_0800, Some(0xfee0_0000)),
        (0x000f_fee0_0800, Some(0x000f_fee0_0000)),
        (0xfee0_0100, None),
        (0xfee0_0d00, None),
    ] {
        processor().msrs.insert(IA32_APIC_BASE, base);
        assert_eq!(with_all_but(u32::MAX, PSE).local_apic(), page, "{base:x}");
    }
    processor().msrs.clear();
    assert_eq!(
        with_all_but(u32::MAX, (1, 3, 9)).local_apic(),
        None,
        "no MSR is read without an APIC"
    );
}

#[test]
fn names_are_those_of_cpuid_in_one_word() {
    let _turn = begin();
    let word = |text: &[u8; 4]| u32::from_le_bytes(*text);
    with_all_but(0, (1, 2, 31));
    processor().cpuid.insert((0, 0), [7, word(b"Genu"), word(b"ntel"), word(b"ineI")]);
    processor()
        .cpuid
        .insert((0x4000_0000, 0), [0, word(b"KVM "), word(b"VM\0\0"), word(b"\0\0\0\0")]);
    let cpu = Cpu::identify();
    assert_eq!(cpu.to_string(), "cpu=GenuineIntel signature=0 maxphyaddr=39 hypervisor=KVM?VM");
    assert!(cpu.has_hypervisor() && cpu.is_under(b"KVM VM\0\0\0\0\0\0"));
    // Without the bit the leaf is one of the processor's own.
    processor().cpuid.insert((1, 0), [0; 4]);
    assert!(!Cpu::identify().has_hypervisor());
}
