// A C++ server of one ONNX model that does none of what the gateway does: no keys, no contract, no
// record, no batching. One session, one thread, Boost.Beast, JSON in and out; large batches come
// and go as plain float32 bytes.
//
//     server LIBONNXRUNTIME MODEL.onnx COLUMNS PORT
//
// POST …/infer takes an Open Inference request with one FP32 input, POST …/raw the bytes of rows.

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/version.hpp>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "onnxruntime.hpp"

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using nlohmann::json;
using tcp = asio::ip::tcp;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

namespace {

constexpr std::uint64_t kBodyLimit = 16u << 20;
constexpr std::size_t kReadSize = 64u << 10;

json values_of(const onnx::Output &output) {
    if (output.element == onnx::Element::kFloat) {
        auto data = static_cast<const float *>(output.data);
        return std::vector<float>(data, data + output.count);
    }
    auto data = static_cast<const int64_t *>(output.data);
    return std::vector<int64_t>(data, data + output.count);
}

std::string infer_json(const onnx::Session &session, const std::string &body) {
    json request = json::parse(body);
    const json &tensor = request.at("inputs").at(0);
    auto data = tensor.at("data").get<std::vector<float>>();
    auto shape = tensor.at("shape").get<std::vector<int64_t>>();
    if (tensor.at("datatype") != "FP32" || tensor.at("name") != session.input())
        throw std::invalid_argument("one FP32 input named " + session.input() + " is expected");
    int64_t elements = 1;
    for (int64_t size : shape) elements *= size;
    if (elements != static_cast<int64_t>(data.size()))
        throw std::invalid_argument("data does not fill the shape");
    json outputs = json::array();
    session.run(data.data(), data.size(), shape, [&](const onnx::Output &output) {
        bool is_float = output.element == onnx::Element::kFloat;
        outputs.push_back({{"name", *output.name},
                           {"datatype", is_float ? "FP32" : "INT64"},
                           {"shape", output.shape},
                           {"data", values_of(output)}});
    });
    json answer = {{"model_name", "model"}, {"model_version", "1"}, {"outputs", outputs}};
    if (request.contains("id")) answer["id"] = request["id"];
    return answer.dump();
}

std::string infer_raw(const onnx::Session &session, std::string &body, int64_t columns) {
    int64_t rows = static_cast<int64_t>(body.size() / sizeof(float)) / columns;
    if (static_cast<size_t>(rows * columns) * sizeof(float) != body.size())
        throw std::invalid_argument("the body is not a number of rows");
    std::string answer;
    auto data = reinterpret_cast<float *>(body.data());
    session.run(data, body.size() / sizeof(float), {rows, columns}, [&](const onnx::Output &output) {
        size_t width = output.element == onnx::Element::kFloat ? sizeof(float) : sizeof(int64_t);
        answer.append(static_cast<const char *>(output.data), output.count * width);
    });
    return answer;
}

Response respond(const onnx::Session &session, int64_t columns, Request &request) {
    Response response{http::status::ok, request.version()};
    response.keep_alive(request.keep_alive());
    try {
        if (request.target().ends_with("/raw")) {
            response.set(http::field::content_type, "application/octet-stream");
            response.body() = infer_raw(session, request.body(), columns);
        } else if (request.target().ends_with("/infer")) {
            response.set(http::field::content_type, "application/json");
            response.body() = infer_json(session, request.body());
        } else {
            response.result(http::status::not_found);
        }
    } catch (const std::exception &error) {
        response.result(http::status::bad_request);
        response.set(http::field::content_type, "application/json");
        response.body() = json{{"error", error.what()}}.dump();
    }
    response.prepare_payload();
    return response;
}

// One connection: reads a request, answers it, reads the next.
class Connection : public std::enable_shared_from_this<Connection> {
  public:
    Connection(tcp::socket socket, const onnx::Session &session, int64_t columns)
        : stream_(std::move(socket)), session_(session), columns_(columns) {
        buffer_.reserve(kReadSize);  // else it grows from small reads
    }

    void read() {
        parser_.emplace();
        parser_->body_limit(kBodyLimit);
        http::async_read(stream_, buffer_, *parser_,
                         [self = shared_from_this()](beast::error_code error, size_t) {
                             if (!error) self->answer();
                         });
    }

  private:
    void answer() {
        response_ = respond(session_, columns_, parser_->get());
        http::async_write(stream_, response_,
                          [self = shared_from_this()](beast::error_code error, size_t) {
                              if (!error && self->response_.keep_alive()) self->read();
                          });
    }

    beast::tcp_stream stream_;
    beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::string_body>> parser_;
    Response response_;
    const onnx::Session &session_;
    int64_t columns_;
};

void accept(tcp::acceptor &acceptor, const onnx::Session &session, int64_t columns) {
    acceptor.async_accept([&acceptor, &session, columns](beast::error_code error, tcp::socket socket) {
        if (!error) {
            socket.set_option(tcp::no_delay(true), error);
            std::make_shared<Connection>(std::move(socket), session, columns)->read();
        }
        accept(acceptor, session, columns);
    });
}

}  // namespace

int main(int count, char **words) {
    if (count == 2 && std::string(words[1]) == "--version") {
        std::cout << "g++ " << __VERSION__ << "\nboost " << BOOST_LIB_VERSION << "\n";
        return 0;
    }
    if (count != 5) {
        std::cerr << "usage: server LIBONNXRUNTIME MODEL.onnx COLUMNS PORT\n";
        return 2;
    }
    try {
        onnx::Session session(words[1], words[2]);
        int64_t columns = std::atoll(words[3]);
        asio::io_context io(1);
        asio::signal_set signals(io, SIGINT, SIGTERM);
        signals.async_wait([&io](beast::error_code, int) { io.stop(); });
        auto port = static_cast<unsigned short>(std::atoi(words[4]));
        tcp::acceptor acceptor(io, {asio::ip::make_address("127.0.0.1"), port});
        accept(acceptor, session, columns);
        io.run();
    } catch (const std::exception &error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
    return 0;
}
