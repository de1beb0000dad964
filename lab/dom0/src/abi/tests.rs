//! Compares the structures and numbers here with Xen's public headers, by a C program that prints
//! what they say. Where Debian's libxen-dev is not installed, this says so and passes.

use std::format;
use std::process::Command;
use std::string::String;
use std::vec::Vec;
use std::{env, fs, println};

use spec::pvh;

use super::domctl::{Domctl, Tail17, Tail20};
use super::{Hypercall, SYSCTL, Version, command, dm, domctl, event, hvm, memory, start};
use dm::DmOp;
use hvm::Record;

/// Another folder with a folder `xen` of headers.
const HEADERS: &str = "XEN_HEADERS";
const INSTALLED: &str = "/usr/include";

/// Expressions in C, and what they must be.
type Facts = Vec<(String, u64)>;

/// Offsets of fields that have the same name in both, and the size of the whole if it is all there.
macro_rules! layout {
    ($facts:ident, $c:literal, $rust:ty, whole, [$($field:ident),*]) => {
        $facts.push((format!("sizeof({})", $c), size_of::<$rust>() as u64));
        layout!($facts, $c, $rust, part, [$($field),*]);
    };
    ($facts:ident, $c:literal, $rust:ty, part, [$($field:ident),*]) => {
        $($facts.push((
            format!("offsetof({}, {})", $c, stringify!($field).trim_start_matches("r#")),
            core::mem::offset_of!($rust, $field) as u64,
        ));)*
    };
}

fn of_domctl(facts: &mut Facts) {
    layout!(
        facts,
        "struct xen_domctl",
        domctl::Call<[u64; 16]>,
        whole,
        [cmd, interface_version, domain, u]
    );
    layout!(facts, "struct xen_domctl_getdomaininfo", domctl::DomainInfo, part, [domain, flags]);
    layout!(facts, "struct xen_domctl_max_mem", domctl::MaxMem, whole, [max_memkb]);
    layout!(facts, "struct xen_domctl_max_vcpus", domctl::MaxVcpus, whole, [max]);
    layout!(
        facts,
        "struct xen_domctl_shadow_op",
        domctl::ShadowOp,
        whole,
        [op, mode, mb, dirty_bitmap, pages, stats]
    );
    layout!(facts, "struct xen_domctl_setdebugging", domctl::SetDebugging, whole, [enable]);
    layout!(facts, "struct xen_domctl_sendtrigger", domctl::SendTrigger, whole, [trigger, vcpu]);
    layout!(facts, "struct xen_domctl_hvmcontext", domctl::SetHvmContext, whole, [size, buffer]);
    layout!(
        facts,
        "struct xen_domctl_hvmcontext_partial",
        domctl::GetHvmContextPartial,
        whole,
        [r#type, instance, bufsz, buffer]
    );
    layout!(
        facts,
        "struct xen_domctl_cpu_policy",
        domctl::SetCpuPolicy,
        whole,
        [nr_leaves, nr_msrs, leaves, msrs, err_leaf, err_subleaf, err_msr]
    );
    layout!(facts, "struct xen_domctl_paging_mempool", domctl::SetPagingMempool, whole, [size]);
    layout!(facts, "xen_cpuid_leaf_t", domctl::CpuidLeaf, whole, [leaf, subleaf, a, b, c, d]);
    layout!(facts, "xen_msr_entry_t", domctl::MsrEntry, whole, [idx, flags, val]);
    layout!(facts, "struct xen_sysctl", domctl::Sysctl, whole, [cmd, interface_version, u]);
    layout!(
        facts,
        "struct xen_sysctl_cpu_policy",
        domctl::GetCpuPolicy,
        whole,
        [index, nr_leaves, nr_msrs, leaves, msrs]
    );
    let numbers = [
        ("XEN_SYSCTL_INTERFACE_VERSION", SYSCTL),
        ("XEN_DOMCTL_createdomain", domctl::CreateDomain::<Tail17>::COMMAND),
        ("XEN_DOMCTL_destroydomain", domctl::DestroyDomain::COMMAND),
        ("XEN_DOMCTL_pausedomain", domctl::PauseDomain::COMMAND),
        ("XEN_DOMCTL_unpausedomain", domctl::UnpauseDomain::COMMAND),
        ("XEN_DOMCTL_getdomaininfo", domctl::DomainInfo::COMMAND),
        ("XEN_DOMCTL_shadow_op", domctl::ShadowOp::COMMAND),
        ("XEN_DOMCTL_SHADOW_OP_OFF", domctl::ShadowOp::OFF),
        ("XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY", domctl::ShadowOp::ENABLE_LOGDIRTY),
        ("XEN_DOMCTL_SHADOW_OP_CLEAN", domctl::ShadowOp::CLEAN),
        ("XEN_DOMCTL_setdebugging", domctl::SetDebugging::COMMAND),
        ("XEN_DOMCTL_sendtrigger", domctl::SendTrigger::COMMAND),
        ("XEN_DOMCTL_SENDTRIGGER_NMI", domctl::SendTrigger::NMI),
        ("XEN_DOMCTL_SENDTRIGGER_INIT", domctl::SendTrigger::INIT),
        ("XEN_DOMCTL_max_mem", domctl::MaxMem::COMMAND),
        ("XEN_DOMCTL_max_vcpus", domctl::MaxVcpus::COMMAND),
        ("XEN_DOMCTL_sethvmcontext", domctl::SetHvmContext::COMMAND),
        ("XEN_DOMCTL_gethvmcontext_partial", domctl::GetHvmContextPartial::COMMAND),
        ("XEN_DOMCTL_set_cpu_policy", domctl::SetCpuPolicy::COMMAND),
        ("XEN_DOMCTL_set_paging_mempool_size", domctl::SetPagingMempool::COMMAND),
        ("XEN_DOMCTL_CDF_hvm", domctl::HVM),
        ("XEN_DOMCTL_CDF_hap", domctl::HAP),
        ("XEN_DOMCTL_CDF_nested_virt", domctl::NESTED_VIRT),
        ("XEN_X86_EMU_LAPIC", domctl::EMULATE_LAPIC),
        ("XEN_DOMCTL_GRANT_version(1)", domctl::GRANT_VERSION),
        ("XEN_DOMINF_dying", domctl::DYING),
        ("XEN_DOMINF_shutdown", domctl::SHUTDOWN),
        ("XEN_DOMINF_shutdownshift", domctl::REASON_SHIFT),
        ("XEN_DOMINF_shutdownmask", domctl::REASON_MASK),
        ("SHUTDOWN_reboot", domctl::REASON_REBOOT),
        ("SHUTDOWN_crash", domctl::REASON_CRASH),
        ("XEN_SYSCTL_get_cpu_policy", domctl::GET_CPU_POLICY),
        ("XEN_SYSCTL_cpu_policy_hvm_max", domctl::HVM_MAX),
    ];
    facts.extend(numbers.map(|(c, rust)| (c.into(), rust.into())));
}

/// What differs between versions. The headers' own is that of their domctl number.
fn of_create_domain(facts: &mut Facts, domctl: u64) {
    macro_rules! create {
        ($tail:ty) => {
            layout!(
                facts,
                "struct xen_domctl_createdomain",
                domctl::CreateDomain<$tail>,
                whole,
                [
                    ssidref,
                    handle,
                    flags,
                    iommu_opts,
                    max_vcpus,
                    max_evtchn_port,
                    max_grant_frames,
                    grant_opts
                ]
            );
        };
    }
    const TAIL: usize = core::mem::offset_of!(domctl::CreateDomain<Tail17>, tail);
    const FLAGS: usize = core::mem::offset_of!(Tail17, emulation_flags);
    let flags = "offsetof(struct xen_domctl_createdomain, arch.emulation_flags)";
    if domctl == u64::from(Version::V4_17.domctl()) {
        create!(Tail17);
        facts.push((flags.into(), (TAIL + FLAGS) as u64));
    } else {
        create!(Tail20);
        facts.push((flags.into(), (TAIL + core::mem::offset_of!(Tail20, tail) + FLAGS) as u64));
    }
}

#[expect(clippy::too_many_lines, reason = "a fact a line")]
fn of_devices(facts: &mut Facts) {
    layout!(facts, "struct xen_dm_op", dm::Call<u64>, part, [op, u]);
    layout!(facts, "struct xen_dm_op_buf", dm::Buffer, whole, [h, size]);
    layout!(
        facts,
        "struct xen_dm_op_create_ioreq_server",
        dm::CreateIoreqServer,
        whole,
        [handle_bufioreq, id]
    );
    layout!(
        facts,
        "struct xen_dm_op_get_ioreq_server_info",
        dm::GetIoreqServerInfo,
        whole,
        [id, flags, bufioreq_port, ioreq_gfn, bufioreq_gfn]
    );
    layout!(
        facts,
        "struct xen_dm_op_ioreq_server_range",
        dm::MapIoRange,
        whole,
        [id, r#type, start, end]
    );
    layout!(
        facts,
        "struct xen_dm_op_set_ioreq_server_state",
        dm::SetIoreqServerState,
        whole,
        [id, enabled]
    );
    layout!(
        facts,
        "struct xen_dm_op_inject_event",
        dm::InjectEvent,
        whole,
        [vcpuid, vector, r#type, insn_len, error_code, cr2]
    );
    layout!(facts, "struct xen_dm_op_inject_msi", dm::InjectMsi, whole, [data, addr]);
    layout!(
        facts,
        "struct xen_dm_op_relocate_memory",
        dm::RelocateMemory,
        whole,
        [size, src_gfn, dst_gfn]
    );
    layout!(facts, "struct ioreq", dm::Ioreq, whole, [addr, data, count, size, vp_eport, r#type]);
    layout!(
        facts,
        "struct evtchn_bind_interdomain",
        event::BindInterdomain,
        whole,
        [remote_dom, remote_port, local_port]
    );
    layout!(facts, "struct evtchn_bind_virq", event::BindVirq, whole, [virq, vcpu, port]);
    layout!(facts, "struct sched_poll", event::Poll, whole, [ports, nr_ports, timeout]);
    layout!(
        facts,
        "struct vcpu_info",
        event::VcpuInfo,
        whole,
        [evtchn_upcall_pending, evtchn_upcall_mask, evtchn_pending_sel]
    );
    layout!(facts, "struct shared_info", event::SharedInfo, part, [vcpu_info, evtchn_pending]);
    layout!(
        facts,
        "struct start_info",
        start::StartInfo,
        part,
        [shared_info, pt_base, mfn_list, mod_start, mod_len]
    );
    let numbers = [
        ("XEN_DMOP_create_ioreq_server", u64::from(dm::CreateIoreqServer::OP)),
        ("XEN_DMOP_get_ioreq_server_info", dm::GetIoreqServerInfo::OP.into()),
        ("XEN_DMOP_map_io_range_to_ioreq_server", dm::MapIoRange::OP.into()),
        ("XEN_DMOP_set_ioreq_server_state", dm::SetIoreqServerState::OP.into()),
        ("XEN_DMOP_inject_event", dm::InjectEvent::OP.into()),
        ("XEN_DMOP_EVENT_hw_exc", dm::InjectEvent::EXCEPTION.into()),
        ("XEN_DMOP_inject_msi", dm::InjectMsi::OP.into()),
        ("XEN_DMOP_relocate_memory", dm::RelocateMemory::OP.into()),
        ("XEN_DMOP_IO_RANGE_PORT", dm::PORTS.into()),
        ("XEN_DMOP_IO_RANGE_MEMORY", dm::MEMORY.into()),
        ("STATE_IOREQ_READY", dm::Ioreq::READY.into()),
        ("STATE_IOREQ_INPROCESS", dm::Ioreq::IN_PROCESS.into()),
        ("STATE_IORESP_READY", dm::Ioreq::ANSWERED.into()),
        ("IOREQ_TYPE_PIO", dm::Ioreq::PORT.into()),
        ("IOREQ_TYPE_COPY", dm::Ioreq::MEMORY.into()),
        ("IOREQ_READ", 1),
        ("EVTCHNOP_bind_interdomain", event::BIND_INTERDOMAIN),
        ("EVTCHNOP_bind_virq", event::BIND_VIRQ),
        ("EVTCHNOP_close", event::CLOSE),
        ("EVTCHNOP_send", event::SEND),
        ("VIRQ_DOM_EXC", event::VIRQ_DOM_EXC.into()),
        ("SCHEDOP_poll", command::SCHEDOP_POLL),
        ("PHYSDEVOP_set_iopl", command::PHYSDEVOP_SET_IOPL),
        ("HVMOP_set_param", command::HVMOP_SET_PARAM),
        ("XENVER_version", command::XENVER_VERSION),
        ("XENVER_extraversion", command::XENVER_EXTRAVERSION),
        ("__HYPERVISOR_memory_op", Hypercall::MemoryOp as u64),
        ("__HYPERVISOR_update_va_mapping", Hypercall::UpdateVaMapping as u64),
        ("__HYPERVISOR_xen_version", Hypercall::XenVersion as u64),
        (
            "__HYPERVISOR_update_va_mapping_otherdomain",
            Hypercall::UpdateVaMappingOtherdomain as u64,
        ),
        ("__HYPERVISOR_sched_op", Hypercall::SchedOp as u64),
        ("__HYPERVISOR_event_channel_op", Hypercall::EventChannelOp as u64),
        ("__HYPERVISOR_physdev_op", Hypercall::PhysdevOp as u64),
        ("__HYPERVISOR_hvm_op", Hypercall::HvmOp as u64),
        ("__HYPERVISOR_sysctl", Hypercall::Sysctl as u64),
        ("__HYPERVISOR_domctl", Hypercall::Domctl as u64),
        ("__HYPERVISOR_dm_op", Hypercall::DmOp as u64),
    ];
    facts.extend(numbers.map(|(c, rust)| (c.into(), rust)));
}

fn of_guests(facts: &mut Facts) {
    layout!(
        facts,
        "struct xen_memory_reservation",
        memory::Reservation,
        whole,
        [extent_start, nr_extents, extent_order, mem_flags, domid]
    );
    layout!(facts, "struct xen_hvm_param", memory::HvmParam, whole, [domid, index, value]);
    layout!(
        facts,
        "struct hvm_save_descriptor",
        hvm::Descriptor,
        whole,
        [typecode, instance, length]
    );
    layout!(
        facts,
        "struct hvm_save_header",
        hvm::Header,
        whole,
        [magic, version, changeset, cpuid, gtsc_khz]
    );
    layout!(
        facts,
        "struct hvm_hw_cpu",
        hvm::Cpu,
        whole,
        [
            fpu_regs,
            rax,
            rip,
            rflags,
            cr0,
            cr2,
            dr0,
            dr6,
            dr7,
            cs_sel,
            cs_limit,
            cs_base,
            cs_arbytes,
            sysenter_cs,
            tsc,
            pending_event,
            error_code,
            flags
        ]
    );
    layout!(facts, "struct hvm_hw_lapic_regs", hvm::LapicRegs, whole, [data]);
    layout!(
        facts,
        "struct hvm_start_info",
        pvh::StartInfo,
        whole,
        [magic, version, flags, cmdline_paddr, rsdp_paddr, memmap_paddr, memmap_entries]
    );
    layout!(facts, "struct hvm_memmap_table_entry", pvh::Memory, whole, [addr, size, r#type]);
    let cpu = |rust: usize, field: usize| (rust + field) as u64;
    let numbers = [
        ("XENMEM_populate_physmap", memory::POPULATE_PHYSMAP),
        ("UVMF_INVLPG", memory::INVLPG),
        ("HVM_PARAM_IOREQ_SERVER_PFN", memory::IOREQ_SERVER_PFN.into()),
        ("HVM_PARAM_NR_IOREQ_SERVER_PAGES", memory::NR_IOREQ_SERVER_PAGES.into()),
        ("HVM_SAVE_CODE(HEADER)", hvm::Header::CODE.into()),
        ("HVM_SAVE_CODE(CPU)", hvm::Cpu::CODE.into()),
        ("HVM_SAVE_CODE(LAPIC_REGS)", hvm::LapicRegs::CODE.into()),
        ("XEN_HVM_START_MAGIC_VALUE", pvh::MAGIC.into()),
        ("XEN_HVM_MEMMAP_TYPE_RAM", pvh::Memory::RAM.into()),
        ("XEN_ELFNOTE_PHYS32_ENTRY", hvm::PHYS32_ENTRY.into()),
        ("offsetof(struct hvm_hw_cpu, rbx)", cpu(core::mem::offset_of!(hvm::Cpu, rax), 8)),
        (
            "offsetof(struct hvm_hw_cpu, tr_limit)",
            cpu(core::mem::offset_of!(hvm::Cpu, cs_limit), 6 * 4),
        ),
        (
            "offsetof(struct hvm_hw_cpu, tr_arbytes)",
            cpu(core::mem::offset_of!(hvm::Cpu, cs_arbytes), 6 * 4),
        ),
    ];
    facts.extend(numbers.map(|(c, rust)| (c.into(), rust)));
}

/// What a C program says that prints these expressions, one a line.
fn in_c(headers: &str, expressions: &[&str]) -> Vec<u64> {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("abi.c"), folder.path().join("abi"));
    let mut text = String::from(
        "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n#define __XEN_TOOLS__ 1\n",
    );
    for header in [
        "xen",
        "memory",
        "sched",
        "event_channel",
        "physdev",
        "domctl",
        "sysctl",
        "version",
        "elfnote",
        "hvm/dm_op",
        "hvm/hvm_op",
        "hvm/params",
        "hvm/ioreq",
        "hvm/save",
        "arch-x86/hvm/start_info",
    ] {
        text.extend(["#include <xen/", header, ".h>\n"]);
    }
    text += "int main(void) {\n";
    text.extend(
        expressions.iter().map(|expression| {
            format!("printf(\"%llu\\n\", (unsigned long long)({expression}));\n")
        }),
    );
    text += "return 0; }\n";
    fs::write(&source, text).unwrap();
    let compiled = Command::new("cc")
        .arg("-I")
        .arg(headers)
        .arg(&source)
        .arg("-o")
        .arg(&program)
        .status()
        .unwrap();
    assert!(compiled.success());
    let said = String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();
    said.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn layouts_and_numbers_are_those_of_xen_s_headers() {
    let headers = env::var(HEADERS).unwrap_or_else(|_| INSTALLED.into());
    if !fs::exists(format!("{headers}/xen/domctl.h")).unwrap() {
        println!("not compared with Xen's headers: Debian's libxen-dev is not installed");
        return;
    }
    let domctl = in_c(&headers, &["XEN_DOMCTL_INTERFACE_VERSION"])[0];
    assert!(
        [Version::V4_17, Version::V4_20]
            .map(|version| u64::from(version.domctl()))
            .contains(&domctl)
    );
    let mut facts = Facts::new();
    of_domctl(&mut facts);
    of_create_domain(&mut facts, domctl);
    of_devices(&mut facts);
    of_guests(&mut facts);
    let expressions: Vec<&str> = facts.iter().map(|(expression, _)| expression.as_str()).collect();
    for ((expression, here), there) in facts.iter().zip(in_c(&headers, &expressions)) {
        assert_eq!(*here, there, "{expression}");
    }
}

#[test]
fn versions_whose_interfaces_are_not_known_are_refused() {
    let of = |minor| Version::of(4, minor);
    assert_eq!(
        (of(17), of(20), of(21)),
        (Some(Version::V4_17), Some(Version::V4_20), Some(Version::V4_20))
    );
    assert_eq!((of(14), of(18), Version::of(3, 17)), (None, None, None));
}
