//! Xen's first domain in the lab: it builds the guest that carries maskmatch's image, is the guest's
//! VMM, and passes the guest's log on. It has no operating system and no tools: hypercalls are all
//! there is.
//!
//! On entry, by [`entry`]: what the runner asks for is in the module, see [`job::Job`]. On exit, the
//! machine is powered off.
//!
//! | to find | look in |
//! |---|---|
//! | what Xen is told, and in which shape | [`hypercall`], [`dom0::abi`] |
//! | making and ending the guest | [`guest`] |
//! | serving it | [`server`], [`dom0::ports`], [`action`] |
//! | which groups run in which domain | [`dom0::plan`] |
//! | what the runner gets | [`report`] |
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the entry's argument is an address")]

mod action;
#[path = "../../../l1/src/machine/builtins.rs"]
mod builtins;
mod entry;
mod guest;
mod hypercall;
mod job;
mod memory;
mod report;
mod server;

use core::panic::PanicInfo;
use core::{mem, slice, str};

use dom0::abi::Version;
use dom0::abi::start::StartInfo;

use guest::{Failed, Guest};
use hypercall::Control;
use job::Job;
use server::{End, Server};

/// The start of Rust.
///
/// # Safety
/// `start` is what Xen gave in RSI.
#[unsafe(no_mangle)]
unsafe extern "C" fn dom0_main(start: *const StartInfo) -> ! {
    // SAFETY: the caller's; nobody writes it.
    let start = unsafe { &*start };
    // SAFETY: Xen says where it mapped the module, which nobody writes.
    let module =
        unsafe { slice::from_raw_parts(start.mod_start as *const u8, start.mod_len as usize) };
    match work(start, module) {
        Ok(()) => report::message(format_args!("\"Done\"")),
        Err(why) => give_up(format_args!("cannot {}: Xen's error {}", why.0, why.1.0)),
    }
    report::power_off()
}

fn work(start: &StartInfo, module: &[u8]) -> Result<(), Failed> {
    hypercall::allow_ports().map_err(Failed::at("access I/O ports"))?;
    report::message(format_args!("{{\"Stage\":\"init\"}}"));
    memory::SHARED.show(start.shared_info).map_err(Failed::at("map the shared information"))?;
    let deaths = server::watch_deaths().map_err(Failed::at("watch for domains that die"))?;
    let (major, minor) = hypercall::xen_version().map_err(Failed::at("ask for Xen's version"))?;
    let extra = hypercall::xen_extra_version().map_err(Failed::at("ask for Xen's version"))?;
    let Some(version) = Version::of(major, minor) else {
        give_up(format_args!(
            "Xen {major}.{minor} has interfaces that are not known here: 4.17 and 4.20 are"
        ));
        return Ok(());
    };
    let Some(job) = Job::read(module) else {
        give_up(format_args!("the module is not the runner's"));
        return Ok(());
    };
    let extra = extra
        .split(|byte| *byte == 0)
        .next()
        .and_then(|text| str::from_utf8(text).ok())
        .unwrap_or_default();
    let mut from = 0;
    while let Some(part) = job.plan.part(from) {
        report::message(format_args!(
            "{{\"Begin\":{{\"set\":\"\",\"effective\":{{\"release\":\"{major}.{minor}{extra}\"}}}}}}"
        ));
        let mut server = Server::of(Guest::build(Control { version }, &job, &part.line)?, deaths)?;
        match server.run()? {
            End::PoweredOff => {
                from += part.groups;
                report::message(format_args!("{{\"End\":{{\"set\":\"\",\"failure\":null}}}}"));
            }
            End::Died(how) => {
                from += server.results + 1;
                report::message(format_args!("{{\"End\":{{\"set\":\"\",\"failure\":\"{how}\"}}}}"));
            }
        }
        if job.plan.part(from).is_none() {
            // Taking the last domain apart would cost more than the power that goes off.
            mem::forget(server);
        }
    }
    Ok(())
}

fn give_up(why: core::fmt::Arguments<'_>) {
    report::message(format_args!("{{\"Error\":\"{why}\"}}"));
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let (file, line) =
        info.location().map_or(("", 0), |location| (location.file(), location.line()));
    give_up(format_args!("dom0 panicked at {file}:{line}"));
    report::power_off()
}
