import Testing
import Varlink

@Suite("org.varlink.service")
struct ServiceMethodTests {
  func answer(_ message: String) throws -> String? {
    var connection = ServerConnection(service: try Transcript.service())
    connection.receive(Transcript.bytes(message))
    try Transcript.serve(&connection)
    return Transcript.drain(&connection).first
  }

  @Test("returns the text of every interface, itself among them")
  func descriptions() throws {
    for (name, text) in [
      "org.example.test": Transcript.interfaceText, "org.varlink.service": ServiceInterface.text,
    ] {
      var client = ClientConnection()
      var server = ServerConnection(service: try Transcript.service())
      try client.call("org.varlink.service.GetInterfaceDescription", ["interface": name])
      server.receive(client.output)
      client.didSend(client.output.count)
      #expect(try server.nextCall() == nil)
      client.receive(server.output)
      let reply = try client.nextReply()
      guard case .parameters(let parameters)? = reply?.content else {
        Issue.record("no description of \(name)")
        continue
      }
      #expect(try parameters.decode([String: String].self) == ["description": text])
    }
  }

  @Test("names what is not there")
  func missing() throws {
    #expect(
      try answer(#"{"method":"org.example.other.Add"}"#)
        == #"{"error":"org.varlink.service.InterfaceNotFound","parameters":{"interface":"org.example.other"}}"#
    )
    #expect(
      try answer(#"{"method":"org.example.test.Other"}"#)
        == #"{"error":"org.varlink.service.MethodNotFound","parameters":{"method":"org.example.test.Other"}}"#
    )
    #expect(
      try answer(
        #"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"a.b"}}"#)
        == #"{"error":"org.varlink.service.InterfaceNotFound","parameters":{"interface":"a.b"}}"#)
    #expect(
      try answer(#"{"method":"org.varlink.service.GetInterfaceDescription"}"#)
        == #"{"error":"org.varlink.service.InvalidParameter","parameters":{"parameter":"interface"}}"#)
  }

  @Test("answers ExpectedMore where one reply would not do, and refuses to upgrade")
  func modes() throws {
    #expect(
      try answer(#"{"method":"org.example.test.Count","parameters":{"to":1}}"#)
        == #"{"error":"org.varlink.service.ExpectedMore","parameters":{}}"#)
    #expect(
      try answer(#"{"method":"org.example.test.Add","parameters":{"a":1,"b":1},"upgrade":true}"#)
        == #"{"error":"org.varlink.service.InvalidParameter","parameters":{"parameter":"upgrade"}}"#)
  }

  @Test("has errors that its own text declares, and that can be read back")
  func errors() throws {
    let all: [ServiceError] = [
      .interfaceNotFound(interface: "a.b"), .methodNotFound(method: "a.b.C"),
      .methodNotImplemented(method: "a.b.C"), .invalidParameter(parameter: "p"), .permissionDenied,
      .expectedMore, .expectedUpgrade,
    ]
    let declared = ServiceInterface.description.errors
    #expect(declared.count == all.count)
    for error in all {
      let parameters = try JSONParameters(encoding: error.errorParameters)
      let short = try #require(error.errorName.split(separator: ".").last.map(String.init))
      let declaration = try #require(declared[short], "\(short) is not declared")
      #expect(
        ServiceInterface.description.firstMismatch(in: parameters.bytes, with: declaration.parameters) == nil)
      #expect(ServiceError(name: error.errorName, parameters: parameters) == error)
    }
    #expect(ServiceError(name: "org.varlink.service.Other", parameters: .empty) == nil)
  }
}
