/// What a server says about itself, and the interfaces it offers.
public struct Service: Sendable {
  /// An offered interface.
  public struct Interface: Sendable {
    /// The parsed text.
    public let description: InterfaceDescription
    /// Methods that answer only calls with `more`; others get `ExpectedMore`.
    public let methodsExpectingMore: Set<String>

    /// An interface from its description.
    public init(_ description: InterfaceDescription, methodsExpectingMore: Set<String> = []) {
      self.description = description
      self.methodsExpectingMore = methodsExpectingMore
    }
  }

  /// Who made the service.
  public let vendor: String
  /// What it is.
  public let product: String
  /// Its version.
  public let version: String
  /// Where to read more.
  public let url: String
  /// Interfaces by name, `org.varlink.service` among them.
  public let interfaces: [String: Interface]

  /// A service that offers the given interfaces and `org.varlink.service`.
  public init(vendor: String, product: String, version: String, url: String, interfaces: [Interface]) {
    self.vendor = vendor
    self.product = product
    self.version = version
    self.url = url
    var byName = [ServiceInterface.description.name: Interface(ServiceInterface.description)]
    for interface in interfaces { byName[interface.description.name] = interface }
    self.interfaces = byName
  }
}
