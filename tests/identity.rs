//! Who is alive is never guessed: numbers of processes that are used again, namespaces, descriptors closed by force, and deaths
//! of all kinds. Other programs in the same process are in `exec.rs`, rights that were given up in `rights.rs`.

mod common;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use common::board::Board;
use common::forked::Forked;
use common::group::Group;
use common::worker::{Args, Worker, serve};
use common::writer::{LINE, PID, REGISTRY, check_all_is_usable, fill, locked_lines, small, text, write_for_ever};
use common::{Scratch, lengths, wait_until};
use shmemo::Cache;

#[test]
fn worker_entry() {
    serve(&[
        ("threads", threads),
        ("in a namespace", in_a_namespace),
        ("other files' descriptors", other_files_descriptors),
        ("hungry", hungry),
        ("closed by force", closed_by_force),
        ("two handles", two_handles),
    ]);
}

/// Writers are killed; before anybody looks, the kernel gives their numbers to others.
#[test]
fn numbers_of_the_dead_are_used_again() {
    let scratch = Scratch::new();
    let (path, board) = (scratch.path("cache"), Board::create(&scratch.path("board")));
    let cache = small(&path);
    cache.set("k", "v").expect("set");
    let file = File::options().read(true).write(true).open(&path).expect("the file");
    for _ in 0..lengths(40, 1000) {
        let before = board.get(0);
        let child = Forked::spawn(|| write_for_ever(&cache, &board, 0));
        wait_until("the child", || board.get(0) > before + 50);
        let pid = child.pid();
        child.kill();
        // In every line that says so, the dead one's number is now that of this process, which runs.
        let mut word = [0; 8];
        for line in 0..cache.stats().max_processes {
            let at = REGISTRY + line * LINE + PID;
            file.read_exact_at(&mut word, at).expect("a read");
            if u64::from_le_bytes(word) == pid as u64 {
                file.write_all_at(&u64::from(std::process::id()).to_le_bytes(), at).expect("a write");
            }
        }
    }
    check_all_is_usable(&cache);
    drop(small(&path));
    assert_eq!(cache.stats().processes, 1, "the lines of the dead are free");
}

/// A process in a PID namespace of its own is number 1 there, and another one is that too.
#[test]
fn namespaces_of_processes() {
    let scratch = Scratch::new();
    let (path, board) = (scratch.path("cache"), Board::create(&scratch.path("board")));
    let cache = small(&path);
    cache.set("k", "from outside").expect("set");
    let inside = |place: usize| {
        Forked::spawn(|| {
            // SAFETY: the call takes plain numbers.
            if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
                println!("not in a namespace: {}", std::io::Error::last_os_error());
            }
            Forked::spawn(|| {
                let cache = small(&path);
                assert_eq!(cache.get("k").as_deref(), Some(&b"from outside"[..]));
                write_for_ever(&cache, &board, place);
            })
            .success();
        })
    };
    let both = [inside(0), inside(1)];
    wait_until("both", || board.get(0) > 100 && board.get(1) > 100);
    for number in 0..8000u64 {
        cache.set(number.to_le_bytes(), [1; 500]).expect("set");
    }
    let lines = cache.stats().processes;
    assert_eq!(lines, 3, "nobody took another for dead");
    let then = [board.get(0), board.get(1)];
    wait_until("both to go on", || board.get(0) > then[0] && board.get(1) > then[1]);
    // The first process of a namespace takes all others with it.
    for (place, outer) in both.into_iter().enumerate() {
        children_of(outer.pid()).into_iter().for_each(|child| signal(child, libc::SIGKILL));
        outer.kill();
        let then = board.get(place);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(board.get(place), then, "it is gone");
    }
    check_all_is_usable(&cache);
}

fn children_of(pid: i32) -> Vec<i32> {
    // Each thread has children of its own.
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the threads");
    let children =
        tasks.map(|task| std::fs::read_to_string(task.expect("a thread").path().join("children")).expect("the children"));
    children
        .flat_map(|children| children.split_whitespace().map(|child| child.parse().expect("a number")).collect::<Vec<_>>())
        .collect()
}

/// A child of a child that has not been waited for, so its number is still its own.
fn signal(grandchild: i32, signal: i32) {
    // SAFETY: the call takes plain numbers.
    unsafe { libc::kill(grandchild, signal) };
}

/// What daemons do: every descriptor is closed, and the numbers go to other files.
fn closed_by_force(args: &Args) {
    let (cache, board) = (small(args.text(0).as_ref()), Board::open(args.text(1).as_ref()));
    cache.set("before", "1").expect("set");
    // SAFETY: nothing else of this process uses a descriptor beyond the first three.
    assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) }, 0);
    let mut others: Vec<File> = (0..40)
        .map(|number| {
            File::options().read(true).write(true).create_new(true).open(format!("{}-{number}", args.text(1))).expect("a file")
        })
        .collect();
    cache.set("after", "2").expect("writes go on, or say why not");
    // A child, which has to take a line of its own by that descriptor.
    Forked::spawn(|| cache.set("from a child", "3").expect("a child writes")).success();
    assert!(cache.contains("from a child"));
    board.set(0, 1);
    wait_until("the others", || board.get(1) == 1);
    (0..3000u32).for_each(|i| cache.set(i.to_le_bytes(), [3; 500]).expect("set"));
    assert!(cache.get(2999u32.to_le_bytes()).is_some());
    drop(cache);
    for file in &mut others {
        file.write_all(b"still open").expect("the file of that number is not closed by the cache");
        assert_eq!(file.metadata().expect("an open file").len(), 10);
    }
}

#[test]
fn descriptors_closed_by_force() {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let (cache, board) = (small(&path), Board::create(&board_path));
    let worker = Worker::spawn("closed by force", &[&text(&path), &text(&board_path)]);
    wait_until("the worker", || board.get(0) == 1);
    assert_eq!(locked_lines(&path, cache.stats().max_processes), 2, "its lock does not depend on descriptors");
    let more: Vec<Cache> = (0..10).map(|_| small(&path)).collect();
    more.iter().for_each(|cache| cache.set("k", "v").expect("set"));
    assert_eq!(cache.stats().processes, 12);
    (0..8000u64).for_each(|number| cache.set(number.to_le_bytes(), [1; 500]).expect("set"));
    board.set(1, 1);
    worker.success();
    drop(more);
    check_all_is_usable(&cache);
}

/// It stands in the middle of a write and cannot do anything for its sign of life, in a PID namespace that nobody else sees into.
#[test]
fn one_in_a_namespace_without_descriptors_is_alive() {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let (cache, board) = (small(&path), Board::create(&board_path));
    let outer = Worker::spawn("in a namespace", &[&text(&path), &text(&board_path), "without descriptors"]);
    wait_until("a write in the namespace", || board.get(0) > 100);
    let inner = stop_while_it_holds(&cache, outer.pid() as i32);
    // All who ask after others: who comes, who wants for segments, who sweeps.
    let more: Vec<Cache> = (0..10).map(|_| small(&path)).collect();
    more.iter().for_each(fill);
    assert_eq!((cache.stats().processes, cache.stats().segments_held > 0), (12, true), "one that is alive was declared dead");
    signal(inner, libc::SIGCONT);
    let then = board.get(0);
    wait_until("the one in the namespace", || board.get(0) > then + 1000);
    cache.verify().expect("no corruption");
    signal(inner, libc::SIGKILL);
    outer.wait();
    drop(more);
    check_all_is_usable(&cache);
    drop(small(&path));
    assert_eq!(cache.stats().processes, 1);
}

/// Stops a child of this process's child while it holds a segment.
fn stop_while_it_holds(cache: &Cache, outer: i32) -> i32 {
    let inner = children_of(outer)[0];
    wait_until("a segment that is held", || {
        signal(inner, libc::SIGSTOP);
        std::thread::sleep(Duration::from_millis(1));
        let is_held = cache.stats().segments_held > 0;
        if !is_held {
            signal(inner, libc::SIGCONT);
        }
        is_held
    });
    inner
}

/// Writes in a PID namespace of its own, without any descriptor if it is told so.
fn in_a_namespace(args: &Args) {
    let (path, board) = (args.text(0), Board::open(args.text(1).as_ref()));
    // SAFETY: the call takes a plain number.
    board.set(1, 1 + u64::from(unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0));
    Forked::spawn(|| {
        let cache = small(path.as_ref());
        cache.set("before", "1").expect("set");
        if args.text(2) == "without descriptors" {
            // SAFETY: nothing else of this process uses a descriptor beyond the first three.
            assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) }, 0);
        }
        write_for_ever(&cache, &board, 0);
    })
    .wait();
}

/// All descriptors are closed by force, and their numbers are those of other files, on which locks can be had.
fn other_files_descriptors(args: &Args) {
    let (cache, board) = (small(args.text(0).as_ref()), Board::open(args.text(1).as_ref()));
    cache.set("before", "1").expect("set");
    // SAFETY: nothing else of this process uses a descriptor beyond the first three.
    assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) }, 0);
    let open = |number: u32| File::options().read(true).write(true).create_new(true).open(format!("{}-{number}", args.text(1)));
    let _others: Vec<File> = (0..40).map(|number| open(number).expect("a file")).collect();
    board.set(2, 1);
    wait_until("the others", || board.get(3) == 1);
    (0..8000u64).for_each(|number| cache.set(number.to_le_bytes(), [3; 500]).expect("set"));
    board.set(2, 2);
    wait_until("the others", || board.get(3) == 2);
    assert!(cache.contains(7999u64.to_le_bytes()));
}

/// One whose descriptors were closed by force must not take a lock on a stranger's file for one on a line: it would declare dead
/// whoever it has no other way to ask about.
#[test]
fn a_process_whose_descriptors_are_other_files_harms_nobody() {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let (cache, board) = (small(&path), Board::create(&board_path));
    let args = [text(&path), text(&board_path)];
    let args = [args[0].as_str(), &args[1]];
    let stranger = Worker::spawn("other files' descriptors", &args);
    wait_until("the one without descriptors", || board.get(2) == 1);
    let lines = cache.stats().max_processes;
    assert_eq!((cache.stats().processes, locked_lines(&path, lines)), (2, 2));
    let outer = Worker::spawn("in a namespace", &[args[0], args[1], "with descriptors"]);
    wait_until("a write in the namespace", || board.get(0) > 100);
    println!("in a namespace: {}", board.get(1) == 1);
    // It stands still in the middle of a write.
    let inner = stop_while_it_holds(&cache, outer.pid() as i32);
    board.set(3, 1);
    wait_until("the one without descriptors", || board.get(2) == 2);
    assert_eq!(cache.stats().processes, 3, "one that is alive was declared dead");
    assert_eq!(locked_lines(&path, lines), 3);
    signal(inner, libc::SIGCONT);
    let then = board.get(0);
    wait_until("the one in the namespace", || board.get(0) > then + 1000);
    board.set(3, 2);
    stranger.success();
    signal(inner, libc::SIGKILL);
    outer.wait();
    check_all_is_usable(&cache);
}

/// Two handles of one file in one process are two processes to each other.
fn two_handles(args: &Args) {
    let path: &Path = args.text(0).as_ref();
    let (first, second) = (small(path), small(path));
    std::thread::scope(|scope| {
        for (number, cache) in [&first, &second, &first, &second].into_iter().enumerate() {
            scope.spawn(move || {
                for i in 0..5000u64 {
                    cache.set((i % 700).to_le_bytes(), [number as u8; 400]).expect("set");
                    cache.increment("sum", 1, 0, None).expect("a sum");
                    cache.remove((i % 900).to_le_bytes());
                }
            });
        }
    });
    assert_eq!(first.stats().processes, second.stats().processes);
    drop(first);
    (0..3000u64).for_each(|i| second.set(i.to_le_bytes(), [9; 400]).expect("set"));
    let third = small(path);
    drop(second);
    third.set("k", "v").expect("set");
    assert!(third.contains("k"));
}

#[test]
fn two_handles_in_one_process() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let cache = small(&path);
    let workers: Vec<Worker> = (0..2).map(|_| Worker::spawn("two handles", &[&text(&path)])).collect();
    workers.into_iter().for_each(Worker::success);
    check_all_is_usable(&cache);
    assert_eq!(cache.stats().processes, 1);
}

fn threads(args: &Args) {
    let (cache, board) = (small(args.text(0).as_ref()), Board::open(args.text(1).as_ref()));
    std::thread::scope(|scope| {
        for place in 0..1000 {
            let (cache, board) = (cache.clone(), &board);
            let thread = std::thread::Builder::new().stack_size(64 << 10);
            thread.spawn_scoped(scope, move || write_for_ever(&cache, board, place)).expect("a thread");
        }
    });
}

#[test]
fn a_thousand_threads_are_killed_at_once() {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let (cache, board) = (small(&path), Board::create(&board_path));
    for _ in 0..lengths(1, 50) {
        (0..1000).for_each(|place| board.set(place, 0));
        let worker = Worker::spawn("threads", &[&text(&path), &text(&board_path)]);
        wait_until("a thousand threads", || (0..1000).all(|place| board.get(place) > 0));
        worker.kill();
        check_all_is_usable(&cache);
    }
}

/// Eats memory while it writes, in a group that has little.
fn hungry(args: &Args) {
    Group::join(args.text(2));
    let (cache, board) = (small(args.text(0).as_ref()), Board::open(args.text(1).as_ref()));
    let mut eaten = Vec::new();
    for number in 0u64.. {
        cache.set((number % 3000).to_le_bytes(), [number as u8; 500]).expect("set");
        board.add(0, 1);
        if number % 16 == 0 {
            eaten.push(vec![number as u8; 256 << 10]);
        }
    }
}

#[test]
fn the_kernel_kills_for_want_of_memory() {
    use std::os::unix::process::ExitStatusExt;
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let (cache, board) = (small(&path), Board::create(&board_path));
    let Some(group) = Group::new(48 << 20) else {
        // The machine does not let groups be made: then an ordinary kill has to do.
        let child = Forked::spawn(|| write_for_ever(&cache, &board, 0));
        wait_until("the child", || board.get(0) > 100);
        child.kill();
        return check_all_is_usable(&cache);
    };
    for _ in 0..lengths(3, 100) {
        let status = Worker::spawn("hungry", &[&text(&path), &text(&board_path), group.dir()]).wait();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
        check_all_is_usable(&cache);
    }
}
