import LinuxOS

/// What the VMM tells the outside about its life: one JSON object a line.
///
/// Numbers and names only; a baton never gets near it.
struct VMMEventLog: ~Copyable, Sendable {
  private let descriptor: OwnedDescriptor?

  init(_ descriptor: consuming OwnedDescriptor?) { self.descriptor = descriptor }

  enum Value {
    case number(UInt64)
    case signed(Int64)
    case text(String)
    case list([String])
    case object([(String, Value)])
  }

  /// Writes one line; an event that cannot be written is lost, the guest matters more.
  ///
  /// - Parameter moment: `CLOCK_MONOTONIC` of what happened, in nanoseconds; nil for now.
  borrowing func write(_ event: String, _ fields: [(String, Value)] = [], at moment: UInt64? = nil) {
    let now = moment ?? MonotonicClock.now()
    let pid = UInt64(ThisProcess.pid)
    let line = Self.json(
      .object([("event", .text(event)), ("pid", .number(pid)), ("at", .number(now))] + fields))
    switch descriptor {
    case .some(let descriptor): _ = try? descriptor.write(Array((line + "\n").utf8))
    case .none: break
    }
  }

  private static func json(_ value: Value) -> String {
    switch value {
    case .number(let number): return "\(number)"
    case .signed(let number): return "\(number)"
    case .text(let text): return quoted(text)
    case .list(let texts): return "[" + texts.map(quoted).joined(separator: ",") + "]"
    case .object(let fields):
      return "{" + fields.map { "\(quoted($0.0)):\(json($0.1))" }.joined(separator: ",") + "}"
    }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

extension VMMEventLog.Value {
  /// The guest's own verdict.
  init(_ report: GuestReport) {
    self = .object([
      ("counter", .number(report.counter)), ("pagesWritten", .number(report.pagesWritten)),
      ("pagesChecked", .number(report.pagesChecked)), ("pageErrors", .number(report.pageErrors)),
      ("consoleSequence", .number(report.consoleSequence)),
      ("diskSequence", .number(report.diskSequence)), ("timerTicks", .number(report.timerTicks)),
      ("largestGapNanoseconds", .number(report.largestGapNanoseconds)),
      ("clockLagNanoseconds", .signed(report.clockLagNanoseconds)),
      ("problems", .list(report.problems)),
    ])
  }
}
