/// The errors of `org.varlink.service`, which every service may answer.
public enum ServiceError: ReplyableError, Hashable {
  /// The service has no such interface.
  case interfaceNotFound(interface: String)
  /// The interface has no such method.
  case methodNotFound(method: String)
  /// The method is declared, but this service does not offer it.
  case methodNotImplemented(method: String)
  /// A parameter is undeclared, absent, of the wrong type or out of range.
  case invalidParameter(parameter: String)
  /// The caller may not call this.
  case permissionDenied
  /// The method answers only calls with `more`.
  case expectedMore
  /// The method answers only calls with `upgrade`.
  case expectedUpgrade

  /// The full name, `org.varlink.service.…`.
  public var errorName: String { "org.varlink.service.\(shortName)" }

  /// The error's parameters.
  public var errorParameters: any Encodable & Sendable {
    switch self {
    case .interfaceNotFound(let interface): ["interface": interface]
    case .methodNotFound(let method), .methodNotImplemented(let method): ["method": method]
    case .invalidParameter(let parameter): ["parameter": parameter]
    case .permissionDenied, .expectedMore, .expectedUpgrade: [String: String]()
    }
  }

  /// Reads an error reply.
  ///
  /// - Returns: `nil` if the name is not one of these errors.
  public init?(name: String, parameters: JSONParameters) {
    let detail = (try? parameters.decode([String: String].self)) ?? [:]
    switch name {
    case "org.varlink.service.InterfaceNotFound":
      self = .interfaceNotFound(interface: detail["interface"] ?? "")
    case "org.varlink.service.MethodNotFound": self = .methodNotFound(method: detail["method"] ?? "")
    case "org.varlink.service.MethodNotImplemented":
      self = .methodNotImplemented(method: detail["method"] ?? "")
    case "org.varlink.service.InvalidParameter":
      self = .invalidParameter(parameter: detail["parameter"] ?? "")
    case "org.varlink.service.PermissionDenied": self = .permissionDenied
    case "org.varlink.service.ExpectedMore": self = .expectedMore
    case "org.varlink.service.ExpectedUpgrade": self = .expectedUpgrade
    case _: return nil
    }
  }

  private var shortName: String {
    switch self {
    case .interfaceNotFound: "InterfaceNotFound"
    case .methodNotFound: "MethodNotFound"
    case .methodNotImplemented: "MethodNotImplemented"
    case .invalidParameter: "InvalidParameter"
    case .permissionDenied: "PermissionDenied"
    case .expectedMore: "ExpectedMore"
    case .expectedUpgrade: "ExpectedUpgrade"
    }
  }
}
