import Glibc
import LinuxOS

/// Explores the machines of BatonCore over seeded runs. See `baton-simulator --help`.
@main
struct Simulator {
  /// How many seeds a broken protocol has to be found in.
  static let seedsForBreakage: UInt64 = 20_000
  /// Failing seeds that are printed; more say nothing new.
  static let failuresShown = 10

  static func main() async {
    let words = Array(CommandLine.arguments.dropFirst())
    if words.contains("--help") {
      print(Arguments.usage)
      return
    }
    do {
      let arguments = try Arguments(words)
      Glibc.exit(await run(arguments) ? 0 : 1)
    } catch {
      report("\(error.text)\n\(Arguments.usage)")
      Glibc.exit(2)
    }
  }

  private static func run(_ arguments: Arguments) async -> Bool {
    if let seed = arguments.seed {
      return replay(seed, breakage: arguments.breakages.first, isTracing: arguments.isTracing)
    }
    if !arguments.breakages.isEmpty { return await runBroken(arguments) }
    return await runSeeds(arguments)
  }

  private static func replay(_ seed: UInt64, breakage: Breakage?, isTracing: Bool) -> Bool {
    let world = World(seed: seed, breakage: breakage, isTracing: isTracing)
    do throws(Violation) {
      try world.run()
      print("seed \(seed): passed after \(world.steps) steps\n1 passed, 0 failed")
      return true
    } catch {
      print("seed \(seed): \(error.property.rawValue): \(error.text)\n0 passed, 1 failed")
      return false
    }
  }

  // MARK: Many seeds

  struct Result {
    var passed = 0
    var failures: [(seed: UInt64, violation: Violation)] = []
    var coverage = Coverage()
  }

  private static func runSeeds(_ arguments: Arguments) async -> Bool {
    let clock = ContinuousClock()
    let start = clock.now
    let total = await explore(
      arguments.first, arguments.seeds, jobs: arguments.jobs, breakage: nil, stopsAtFailure: false)
    let seconds = (clock.now - start) / .seconds(1)
    for failure in total.failures.prefix(failuresShown) {
      print(
        "seed \(failure.seed) failed: \(failure.violation.property.rawValue): \(failure.violation.text)\n"
          + "  replay it with: baton-simulator --seed \(failure.seed) --trace")
    }
    for line in total.coverage.lines { print(line) }
    print("\(Int(Double(arguments.seeds) / max(seconds, 0.001))) seeds a second, \(Int(seconds)) s")
    print("\(total.passed) passed, \(total.failures.count) failed")
    return total.failures.isEmpty
  }

  private static func runBroken(_ arguments: Arguments) async -> Bool {
    var passed = 0
    for breakage in arguments.breakages {
      let result = await explore(
        arguments.first, seedsForBreakage, jobs: arguments.jobs, breakage: breakage, stopsAtFailure: true)
      if let failure = result.failures.min(by: { $0.seed < $1.seed }) {
        passed += 1
        print(
          "\(breakage.rawValue): caught by \(failure.violation.property.rawValue) at seed \(failure.seed)")
      } else {
        print("\(breakage.rawValue): NOT CAUGHT in \(seedsForBreakage) seeds")
      }
    }
    print("\(passed) passed, \(arguments.breakages.count - passed) failed")
    return passed == arguments.breakages.count
  }

  /// Runs the seeds in portions of which each job takes the next.
  private static func explore(
    _ first: UInt64, _ count: UInt64, jobs: Int, breakage: Breakage?, stopsAtFailure: Bool
  ) async -> Result {
    let portion: UInt64 = stopsAtFailure ? 50 : 500
    let showsProgress = Terminal.isTerminal(STDERR_FILENO) && !stopsAtFailure
    return await withTaskGroup(of: Result.self) { group in
      var total = Result()
      var next: UInt64 = 0
      func startOne() {
        guard next < count, !(stopsAtFailure && !total.failures.isEmpty) else { return }
        let from = first + next
        let to = first + min(count, next + portion)
        next += portion
        group.addTask { explore(from..<to, breakage: breakage, stopsAtFailure: stopsAtFailure) }
      }
      for _ in 0..<jobs { startOne() }
      while let result = await group.next() {
        total.passed += result.passed
        total.failures += result.failures
        total.coverage += result.coverage
        if showsProgress { report("\r\(total.passed) of \(count)", terminator: "") }
        startOne()
      }
      if showsProgress { report("") }
      total.failures.sort { $0.seed < $1.seed }
      return total
    }
  }

  private static func explore(_ seeds: Range<UInt64>, breakage: Breakage?, stopsAtFailure: Bool) -> Result {
    var result = Result()
    for seed in seeds {
      let world = World(seed: seed, breakage: breakage, isTracing: false)
      do throws(Violation) {
        try world.run()
        result.passed += 1
      } catch {
        result.failures.append((seed, error))
      }
      result.coverage += world.coverage
      if stopsAtFailure, !result.failures.isEmpty { break }
    }
    return result
  }

  private static func report(_ text: String, terminator: String = "\n") {
    StandardStream.error.write(text + terminator)
  }
}
