public import Varlink

/// The interface `io.baton.Registry` and the service that offers it.
public enum BatonRegistry {
  /// The interface's name.
  public static let name = "io.baton.Registry"

  /// The parsed ``text``. A failure here is a bug in the text, and the first test shows it.
  public static let description: InterfaceDescription = {
    do {
      return try InterfaceDescription(text)
    } catch {
      preconditionFailure("io.baton.Registry is not well formed: \(error)")
    }
  }()

  /// What a registry offers on its Varlink socket.
  ///
  /// - Parameters:
  ///   - vendor: Who made the program.
  ///   - product: What the program is.
  ///   - version: Its version.
  ///   - url: Where to read more.
  public static func service(vendor: String, product: String, version: String, url: String) -> Service {
    Service(
      vendor: vendor, product: product, version: version, url: url,
      interfaces: [.init(description, methodsExpectingMore: [RegistryMethod.watch.rawValue])])
  }

  /// The text, as `GetInterfaceDescription` returns it.
  public static let text =
    typesText + handoffTypesText + migrationTypesText + methodsText + migrationMethodsText + errorsText
}

/// The methods of `io.baton.Registry`.
public enum RegistryMethod: String, Hashable, Sendable, CaseIterable {
  case list = "List"
  case describe = "Describe"
  case watch = "Watch"
  case preflight = "Preflight"
  case upgrade = "Upgrade"
  case abort = "Abort"
  case metrics = "Metrics"
  case migrate = "Migrate"
  case settle = "Settle"
  case confirm = "Confirm"
  case departure = "Departure"
  case arrival = "Arrival"

  /// `interface.Method`
  public var fullName: String { "\(BatonRegistry.name).\(rawValue)" }

  /// Whether the method changes something, so that the caller needs uid 0 or the admin group. (The user of
  /// baton-remote may call some of these too, and nobody but that one and uid 0 may call Departure.)
  public var changesState: Bool {
    switch self {
    case .list, .describe, .watch, .preflight, .metrics, .departure, .arrival: false
    case .upgrade, .abort, .migrate, .settle, .confirm: true
    }
  }
}
