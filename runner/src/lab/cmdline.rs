//! The lab kernel's command line, with the reason for every option.
//!
//! Bochs runs about 100 million instructions a second, and Linux spends billions on things that no
//! test here needs. Each option either saves such work, or avoids something that the emulated CPU
//! does not do as a real one does. None of them touches KVM.

/// Emulated instructions per emulated second: sets the rate of timers. High enough that timer
/// interrupts are rare.
pub const IPS: u32 = 50_000_000;

/// Options for every kernel: text, and why.
const COMMON: &[(&str, &str)] = &[
    ("console=ttyS0", "how an oops or a panic is reported, whatever becomes of init"),
    (
        "loglevel=1",
        "every character on the emulated UART costs thousands of instructions; an oops is printed all the same",
    ),
    (
        "panic=-1 reboot=t",
        "a panic ends in a triple fault at once, on which Bochs stops, not in a silent loop",
    ),
    (
        "watchdog_thresh=3 softlockup_panic=1",
        "a kernel that hangs panics after 300 million instructions, and says where",
    ),
    ("noreplace-smp", "saves rewriting every lock prefix for one CPU"),
    ("nokaslr", "the kernel is entered past the code that would relocate it"),
    ("mitigations=off", "the emulated CPU speculates nothing"),
    ("tsc=reliable", "the TSC counts instructions: it needs no watchdog"),
    ("lpj=200000", "saves calibrating the delay loop"),
    ("no_timer_check", "the timer's interrupt needs no test"),
    ("random.trust_cpu=1", "RDRAND ends the wait for entropy"),
    ("cryptomgr.notests", "saves the self-tests of every cipher"),
    (
        "rcupdate.rcu_expedited=1",
        "unloading a module waits for grace periods; an expedited one costs less",
    ),
    // Not acpi=off: with it such kernels lose the local APIC (acpi_mps_check), and QEMU's guest
    // with it. There are no ACPI tables to interpret anyway.
    ("nosmp", "one CPU"),
];

/// Features that Linux must not use, by their numbers. FSRM: newer CPU models hang. XSAVEC, XSAVES:
/// in most of Bochs' CPU models sizes differ from what Linux checks.
const NO_FSRM: &str = "clearcpuid=580";
const NO_FSRM_XSAVES: &str = "clearcpuid=321,323,580";

/// Makes the parameters readable of modules that are part of the kernel.
const PARAMETERS_IN_SYSFS: &str = "param_sysfs_builtin_init";

/// Init calls to leave out, by what they would do. A kernel that lacks one ignores its name.
const LEFT_OUT: &[&[&str]] = &[
    // Certificates and keyrings.
    &["load_system_certificate_list", "integrity_init_keyring"],
    // Self-tests and noise gathering of ciphers: 140 million instructions on 6.12.
    &["jent_mod_init", "crypto_kdf108_init", "blake2s_mod_init"],
    // Tracing, and the parameters of drivers that are built in.
    &[
        "ftrace_check_for_weak_functions",
        "ftrace_check_sync",
        "trace_eval_init",
        "trace_eval_sync",
        "tracer_init_tracefs",
        PARAMETERS_IN_SYSFS,
    ],
    // Memory caches in sysfs: 11 million instructions on 6.1.
    &["slab_sysfs_init"],
    // Functions offered to BPF programs: the first of them reads all of the kernel's BTF, 47
    // million instructions.
    &[
        "kfunc_init",
        "bpf_rstat_kfunc_init",
        "bpf_key_sig_kfuncs_init",
        "bpf_prog_test_run_init",
        "bpf_tcp_ca_kfunc_init",
        "bpf_dummy_struct_ops_init",
        "bpf_kfunc_init",
        "bpf_fs_kfuncs_init",
        "bpf_kprobe_multi_kfuncs_init",
        "bpf_mptcp_kfunc_init",
        "cpumask_kfunc_init",
        "crypto_kfunc_init",
        "cubictcp_register",
    ],
];

/// The command line, the same for every kernel from 5.10 to 7.2. `xsaves` says whether Linux can
/// use the CPU's XSAVES, without which KVM has no shadow stacks. `of_kvm` are the parameters of a KVM
/// that is part of the kernel.
pub fn command_line(xsaves: bool, of_kvm: &str) -> String {
    let mut words: Vec<String> = COMMON.iter().map(|(text, _)| (*text).to_string()).collect();
    words.push(if xsaves { NO_FSRM } else { NO_FSRM_XSAVES }.to_string());
    // This must be the rate at which the TSC really counts, or timer interrupts come in a storm.
    words.push(format!("tsc_early_khz={}", IPS / 1000));
    let mut left_out = LEFT_OUT.concat();
    left_out.retain(|call| of_kvm.is_empty() || *call != PARAMETERS_IN_SYSFS);
    words.push(format!("initcall_blacklist={}", left_out.join(",")));
    words.extend((!of_kvm.is_empty()).then(|| of_kvm.to_string()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_and_ends_with_the_parameters_of_kvm() {
        let line = command_line(false, "kvm_intel.ept=0");
        assert!(line.len() < 2048 - 256);
        assert!(line.ends_with(" kvm_intel.ept=0") && !line.contains(PARAMETERS_IN_SYSFS));
        assert!(command_line(false, "").contains(PARAMETERS_IN_SYSFS));
        assert!(line.contains("tsc_early_khz=50000") && line.contains(" clearcpuid=321,323,580 "));
        assert!(command_line(true, "").contains(" clearcpuid=580 "));
    }
}
