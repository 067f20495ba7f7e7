/// The interface that every Varlink service offers (UAPI.20).
public enum ServiceInterface {
  /// The interface's name.
  public static let name = "org.varlink.service"

  /// The parsed text. A failure here is a bug in this file, and the first test shows it.
  public static let description: InterfaceDescription = {
    do {
      return try InterfaceDescription(text)
    } catch {
      preconditionFailure("org.varlink.service is not well formed: \(error)")
    }
  }()

  /// The text, as `GetInterfaceDescription` returns it.
  public static let text = """
    # The Varlink service interface: what a service is and what it offers.
    interface org.varlink.service

    # Returns who made the service, what it is, and the interfaces it offers.
    method GetInfo() -> (
      # Who made the service
      vendor: string,
      # What it is
      product: string,
      # Its version
      version: string,
      # Where to read more
      url: string,
      # The interfaces it offers
      interfaces: []string
    )

    # Returns the description of an interface.
    method GetInterfaceDescription(
      # The interface's name
      interface: string
    ) -> (
      # Its text in the Varlink interface definition language
      description: string
    )

    # The service has no such interface.
    error InterfaceNotFound(
      # The interface
      interface: string
    )

    # The interface has no such method.
    error MethodNotFound(
      # The method
      method: string
    )

    # The method is declared, but this service does not offer it.
    error MethodNotImplemented(
      # The method
      method: string
    )

    # A parameter is undeclared, absent, of the wrong type or out of range.
    error InvalidParameter(
      # The parameter
      parameter: string
    )

    # The caller may not call this.
    error PermissionDenied()

    # The method answers only calls with 'more'.
    error ExpectedMore()

    # The method answers only calls with 'upgrade'.
    error ExpectedUpgrade()

    """

  struct Info: Codable {
    let vendor: String
    let product: String
    let version: String
    let url: String
    let interfaces: [String]
  }

  struct DescriptionRequest: Codable {
    let interface: String
  }

  struct DescriptionReply: Codable {
    let description: String
  }
}
