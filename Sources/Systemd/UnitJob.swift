/// A job of the service manager: that a unit is started, stopped or restarted.
public struct UnitJob: Hashable, Sendable {
  /// Its number, as long as this manager runs.
  public let id: UInt32
  /// The unit.
  public let unit: String

  /// What a job does to its unit.
  public enum Kind: Hashable, Sendable {
    case start, stop, restart, tryRestart, reload, verifyActive
    /// One that this program does not know.
    case other(String)

    init(_ text: String) {
      self =
        switch text {
        case "start": .start
        case "stop": .stop
        case "restart": .restart
        case "try-restart": .tryRestart
        case "reload": .reload
        case "verify-active": .verifyActive
        case _: .other(text)
        }
    }
  }

  /// How a job ended.
  public enum End: Hashable, Sendable {
    case done, canceled, timeout, failed, dependency, skipped
    /// It is not there any more, and nobody said how it ended.
    case forgotten
    /// An end that this program does not know.
    case other(String)

    init(_ text: String) {
      self =
        switch text {
        case "done": .done
        case "canceled": .canceled
        case "timeout": .timeout
        case "failed": .failed
        case "dependency": .dependency
        case "skipped": .skipped
        case _: .other(text)
        }
    }

    /// For people: what the job did.
    public var words: String {
      switch self {
      case .done: "was done"
      case .canceled: "was canceled"
      case .timeout: "took too long"
      case .failed: "failed"
      case .dependency: "failed because another unit did"
      case .skipped: "was skipped"
      case .forgotten: "is gone from the service manager"
      case .other(let text): "ended with '\(text)'"
      }
    }
  }
}

/// Properties of a unit that can be read as text.
public enum UnitProperty: String, Hashable, Sendable {
  /// `loaded`, `not-found`, `bad-setting`, `error`, `masked`.
  case loadState = "LoadState"
  /// `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`.
  case activeState = "ActiveState"
  /// `success`, `exit-code`, `signal`, `timeout`, …
  case result = "Result"
  /// What the service said last about itself.
  case statusText = "StatusText"
  /// The main process, 0 if there is none.
  case mainPID = "MainPID"
  /// The exit status, or the signal, of the main process that ended last.
  case execMainStatus = "ExecMainStatus"
  /// How it ended: 1 exited, 2 killed, 3 dumped core; 0 if none has.
  case execMainCode = "ExecMainCode"
  /// The program of the first `ExecStart=` line; empty if there is none.
  case execStart = "ExecStart"
  /// How long stopping may take, in microseconds; the largest number for ever.
  case timeoutStop = "TimeoutStopUSec"

  var isOfService: Bool {
    switch self {
    case .loadState, .activeState: false
    case .result, .statusText, .mainPID, .execMainStatus, .execMainCode, .execStart,
      .timeoutStop:
      true
    }
  }

  var signature: String {
    switch self {
    case .loadState, .activeState, .result, .statusText: "s"
    case .mainPID: "u"
    case .timeoutStop: "t"
    case .execMainStatus, .execMainCode: "i"
    case .execStart: "a(sasbttttuii)"
    }
  }
}
