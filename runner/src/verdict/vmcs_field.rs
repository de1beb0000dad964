//! Names of VMCS fields, for traces. SDM vol. 3D, "Field Encoding in VMCS".

/// Encodings and names.
const NAMES: &[(u32, &str)] = &[
    (0x0000, "virtual-processor identifier"),
    (0x0800, "guest ES selector"),
    (0x0802, "guest CS selector"),
    (0x0804, "guest SS selector"),
    (0x0806, "guest DS selector"),
    (0x0808, "guest FS selector"),
    (0x080a, "guest GS selector"),
    (0x080c, "guest LDTR selector"),
    (0x080e, "guest TR selector"),
    (0x2000, "I/O bitmap A"),
    (0x2002, "I/O bitmap B"),
    (0x201a, "EPT pointer"),
    (0x2802, "guest IA32_DEBUGCTL"),
    (0x2806, "guest IA32_EFER"),
    (0x280a, "guest PDPTE0"),
    (0x280c, "guest PDPTE1"),
    (0x280e, "guest PDPTE2"),
    (0x2810, "guest PDPTE3"),
    (0x4000, "pin-based VM-execution controls"),
    (0x4002, "primary processor-based VM-execution controls"),
    (0x4004, "exception bitmap"),
    (0x4006, "page-fault error-code mask"),
    (0x4008, "page-fault error-code match"),
    (0x400c, "VM-exit controls"),
    (0x4012, "VM-entry controls"),
    (0x4016, "VM-entry interruption-information field"),
    (0x4018, "VM-entry exception error code"),
    (0x401a, "VM-entry instruction length"),
    (0x401e, "secondary processor-based VM-execution controls"),
    (0x4800, "guest ES limit"),
    (0x4802, "guest CS limit"),
    (0x4804, "guest SS limit"),
    (0x4806, "guest DS limit"),
    (0x4808, "guest FS limit"),
    (0x480a, "guest GS limit"),
    (0x480c, "guest LDTR limit"),
    (0x480e, "guest TR limit"),
    (0x4810, "guest GDTR limit"),
    (0x4812, "guest IDTR limit"),
    (0x4814, "guest ES access rights"),
    (0x4816, "guest CS access rights"),
    (0x4818, "guest SS access rights"),
    (0x481a, "guest DS access rights"),
    (0x481c, "guest FS access rights"),
    (0x481e, "guest GS access rights"),
    (0x4820, "guest LDTR access rights"),
    (0x4822, "guest TR access rights"),
    (0x4824, "guest interruptibility state"),
    (0x4826, "guest activity state"),
    (0x6000, "CR0 guest/host mask"),
    (0x6002, "CR4 guest/host mask"),
    (0x6004, "CR0 read shadow"),
    (0x6006, "CR4 read shadow"),
    (0x6800, "guest CR0"),
    (0x6802, "guest CR3"),
    (0x6804, "guest CR4"),
    (0x6806, "guest ES base"),
    (0x6808, "guest CS base"),
    (0x680a, "guest SS base"),
    (0x680c, "guest DS base"),
    (0x680e, "guest FS base"),
    (0x6810, "guest GS base"),
    (0x6812, "guest LDTR base"),
    (0x6814, "guest TR base"),
    (0x6816, "guest GDTR base"),
    (0x6818, "guest IDTR base"),
    (0x681a, "guest DR7"),
    (0x681c, "guest RSP"),
    (0x681e, "guest RIP"),
    (0x6820, "guest RFLAGS"),
    (0x6822, "guest pending debug exceptions"),
    (0x6828, "guest IA32_S_CET"),
    (0x682a, "guest SSP"),
    (0x682c, "guest IA32_INTERRUPT_SSP_TABLE_ADDR"),
    (0x6c14, "host RSP"),
    (0x6c16, "host RIP"),
];

/// A trace's step with the name of its VMCS field, if it has one, as in `field 4006 value=..`.
pub fn named(step: &str) -> String {
    let Some((encoding, values)) =
        step.strip_prefix("field ").and_then(|field| field.split_once(' '))
    else {
        return step.into();
    };
    let name = u32::from_str_radix(encoding, 16).ok().and_then(|encoding| {
        NAMES.iter().find(|(known, _)| *known == encoding).map(|(_, name)| *name)
    });
    format!("  {} ({encoding}) {values}", name.unwrap_or("field"))
}

#[cfg(test)]
mod tests {
    use super::{NAMES, named};

    #[test]
    fn fields_of_a_trace_get_their_names() {
        assert_eq!(
            named("field 4006 value=2 before=0"),
            "  page-fault error-code mask (4006) value=2 before=0"
        );
        assert_eq!(named("field 201e value=2"), "  field (201e) value=2");
        assert_eq!(named("field"), "field");
        assert_eq!(named("exit,info=1"), "exit,info=1");
    }

    #[test]
    fn encodings_are_in_order_and_of_full_width() {
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(NAMES.iter().all(|(encoding, _)| encoding & 1 == 0));
    }
}
