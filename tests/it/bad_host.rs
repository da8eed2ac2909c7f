//! Hosts and configurations that the server cannot run on: one clear error, and the right exit
//! status.

use std::fs::Permissions;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use crate::support::{
    Aiosmtpd, Config, Finished, LoopDisk, Mail, RECIPIENT, Ringpost, SENDER, SMTP_PORT, Scenario,
    Sink, USUAL_LIMIT, assert_arrived, is_root, python, ringpost, scenario, serve,
};

/// Lines that one clear error may have: what is wrong, why, and the command that mends it.
const ERROR_LINES_MAX: usize = 6;

/// Fails unless the server ended by itself with a short error that says all of `words`.
#[track_caller]
fn assert_refused(finished: Finished, code: i32, words: &[&str]) {
    let Finished { output, errors, .. } = finished.exited(code);
    assert!(!output.contains("ready"), "{output}");
    assert!(!errors.contains("panicked"), "{errors}");
    assert!(errors.lines().count() <= ERROR_LINES_MAX, "{errors}");
    let said = errors.to_lowercase();
    for word in words {
        assert!(said.contains(&word.to_lowercase()), "no {word:?} in: {errors}");
    }
}

#[test]
fn spool_below_a_file_is_refused() {
    scenario(USUAL_LIMIT, |test| {
        let file = test.path().join("a-file");
        std::fs::write(&file, "").unwrap();
        let path = file.join("spool");
        let config = Config::new(test).spool(&path);
        assert_refused(Ringpost::run(test, &config), 2, &[path.to_str().unwrap()]);
    });
}

#[test]
fn spool_on_a_read_only_disk_is_refused() {
    scenario(USUAL_LIMIT, |test| {
        let disk = LoopDisk::mount(test, 16 << 20, ",ro");
        let path = disk.path().join("spool");
        let config = Config::new(test).spool(&path);
        assert_refused(Ringpost::run(test, &config), 2, &[path.to_str().unwrap(), "read-only"]);
    });
}

/// As a service that lost its user's right to the directory would; root itself is never refused.
#[test]
fn spool_of_another_user_is_refused() {
    scenario(USUAL_LIMIT, |test| {
        let path = test.make_directory("of-root");
        std::fs::set_permissions(&path, Permissions::from_mode(0o500)).unwrap();
        let config = Config::new(test).spool(&path);
        // Without its capabilities root is bound by permissions like anybody else.
        let powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
        let wrapper = if is_root() { &powerless[..] } else { &[] };
        let finished = Ringpost::run_under(test, wrapper, &config);
        assert_refused(finished, 2, &[path.to_str().unwrap(), "permission"]);
    });
}

/// Every mistake is named with its line, in one run.
#[test]
fn unknown_keys_are_refused_with_their_lines() {
    scenario(USUAL_LIMIT, |test| {
        let config = Config::new(test).set("delivery", "retry_frist_s", 60).set(
            "shutdown",
            "grace_seconds",
            5,
        );
        let toml = config.to_toml();
        let line_of = |key: &str| 1 + toml.lines().position(|line| line.starts_with(key)).unwrap();
        let finished = Ringpost::run(test, &config);
        let errors = finished.errors.clone();
        assert_refused(finished, 2, &["retry_frist_s", "grace_seconds"]);
        for key in ["retry_frist_s", "grace_seconds"] {
            let place = format!(".toml:{}:", line_of(key));
            let line = errors.lines().find(|line| line.contains(key)).unwrap();
            assert!(line.contains(&place), "{line} does not name {place}");
        }

        // `check` says the same.
        let file = Ringpost::write_config(test, &config);
        let arguments = ["check", "--config", file.to_str().unwrap()];
        let checked = test.run(&mut ringpost(&arguments), b"");
        assert_refused(checked, 2, &["retry_frist_s", "grace_seconds"]);
    });
}

#[test]
fn configuration_that_is_not_there_is_refused() {
    scenario(USUAL_LIMIT, |test| {
        let file = test.path().join("absent.toml");
        let finished = test.run(&mut ringpost(&serve(&file)), b"");
        assert_refused(finished, 2, &[file.to_str().unwrap()]);
    });
}

/// A configuration is no better than the files that it names.
#[test]
fn files_of_tls_that_cannot_be_used_are_refused() {
    scenario(USUAL_LIMIT, |test| {
        let odd = test.path().join("odd.pem");
        std::fs::write(&odd, "no certificate").unwrap();
        for name in [test.path().join("absent.pem"), odd] {
            let path = format!("{name:?}");
            let config =
                Config::new(test).set("tls", "certificate", &path).set("tls", "key", &path);
            let words = ["tls", name.to_str().unwrap()];
            assert_refused(Ringpost::run(test, &config), 2, &words);
            let file = Ringpost::write_config(test, &config);
            let arguments = ["check", "--config", file.to_str().unwrap()];
            assert_refused(test.run(&mut ringpost(&arguments), b""), 2, &words);
        }
    });
}

#[test]
fn second_process_on_a_spool_is_refused() {
    scenario(USUAL_LIMIT, |test| {
        let sink = Aiosmtpd::start(test);
        let config = Config::relaying_to(test, sink.address());
        let server = Ringpost::start(test, &config);
        let second = Config::relaying_to(test, sink.address());
        assert_eq!(second.spool_path(), config.spool_path());
        let finished = Ringpost::run(test, &second);
        let code = finished.status.code().expect("it exits by itself");
        assert!(matches!(code, 1 | 2), "exit status {code}");
        assert_refused(finished, code, &[config.spool_path().to_str().unwrap()]);
        // The first does not notice.
        let mail = Mail::small("undisturbed");
        server.session().deliver(SENDER, RECIPIENT, &mail.content);
        assert_arrived(test, &sink, &[mail], 1);
    });
}

#[test]
fn address_in_use_is_refused() {
    scenario(USUAL_LIMIT, |test| {
        let address = SocketAddr::from((test.address(), SMTP_PORT));
        let _taken = TcpListener::bind(address).unwrap();
        let finished = Ringpost::run(test, &Config::new(test).listen(address));
        let code = finished.status.code().expect("it exits by itself");
        assert!(matches!(code, 1 | 2), "exit status {code}");
        assert_refused(finished, code, &[&address.to_string()]);
    });
}

/// Runs a server under `wrapper` and expects it to name what is too little here.
fn host_is_refused(test: &Scenario, wrapper: &[&str], words: &[&str]) {
    assert_refused(Ringpost::run_under(test, wrapper, &Config::new(test)), 2, words);
}

#[test]
fn too_few_descriptors_are_refused() {
    scenario(USUAL_LIMIT, |test| {
        host_is_refused(test, &["prlimit", "--nofile=64:64"], &["nofile"]);
    });
}

#[test]
fn too_little_lockable_memory_is_refused() {
    scenario(USUAL_LIMIT, |test| {
        // With this capability, which root has, the limit does not count.
        let little = ["prlimit", "--memlock=65536:65536"];
        let for_root = [&little[..], &["setpriv", "--bounding-set=-ipc_lock"]].concat();
        let wrapper = if is_root() { &for_root[..] } else { &little };
        host_is_refused(test, wrapper, &["memlock"]);
    });
}

/// What containers do, and what the sysctl `kernel.io_uring_disabled` does on a whole host.
#[test]
fn host_that_forbids_io_uring_is_refused() {
    scenario(USUAL_LIMIT, |test| {
        for refusal in ["EPERM", "ENOSYS"] {
            let deny = python("deny_io_uring.py");
            let words: Vec<&str> = std::iter::once(deny.get_program())
                .chain(deny.get_args())
                .map(|word| word.to_str().unwrap())
                .chain([refusal])
                .collect();
            host_is_refused(test, &words, &["io_uring"]);
        }
    });
}
