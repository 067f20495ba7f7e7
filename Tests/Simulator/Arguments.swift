/// The command line of the simulator.
struct Arguments {
  var seeds: UInt64 = 1_000
  var first: UInt64 = 1
  var jobs = 2
  var seed: UInt64?
  var isTracing = false
  var breakages: [Breakage] = []

  struct Problem: Error { let text: String }

  static let usage = """
    usage: baton-simulator [--seeds N] [--first N] [--jobs N] [--break NAME|all]
           baton-simulator --seed N [--trace] [--break NAME]

    Runs the registry's, the source's and the successor's machines through N seeded runs with
    deaths, stops, broken connections, early deadlines and restarts, and checks the invariant at
    every step. --seed replays one run, --trace prints what happened in it. --break breaks the
    protocol on purpose and expects the run to find it: \(Breakage.allCases.map(\.rawValue).joined(separator: ", ")).
    The exit status is 0 when nothing failed, 1 when something did, 2 for a mistake in the arguments.
    """

  init(_ words: [String]) throws(Problem) {
    var rest = words[...]
    while let word = rest.popFirst() {
      switch word {
      case "--seeds": seeds = try Self.number(&rest, word)
      case "--first": first = try Self.number(&rest, word)
      case "--seed": seed = try Self.number(&rest, word)
      case "--jobs": jobs = Int(clamping: try Self.number(&rest, word))
      case "--trace": isTracing = true
      case "--break":
        guard let name = rest.popFirst() else { throw Problem(text: "--break needs a name") }
        if name == "all" {
          breakages = Breakage.allCases
        } else if let breakage = Breakage(rawValue: name) {
          breakages = [breakage]
        } else {
          throw Problem(text: "nothing is called \(name) that could be broken")
        }
      default: throw Problem(text: "unknown argument \(word)")
      }
    }
    guard jobs > 0, seeds > 0 else { throw Problem(text: "--jobs and --seeds need a number above 0") }
    guard !isTracing || seed != nil else { throw Problem(text: "--trace needs --seed") }
  }

  private static func number(_ rest: inout ArraySlice<String>, _ option: String) throws(Problem) -> UInt64 {
    guard let word = rest.popFirst(), let number = UInt64(word) else {
      throw Problem(text: "\(option) needs a number")
    }
    return number
  }
}
