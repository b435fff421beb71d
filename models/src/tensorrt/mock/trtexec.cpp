// A program that takes the options that Weir gives to `trtexec`, and no others, and makes plans for the fake library out
// of texts of the same form as its plans ("weir-mock-onnx 1"). `build` lines say how the building goes:
//   build fails TEXT     ends with an error
//   build hangs          never ends
//   build slow SECONDS   takes its time, and tells how far it is
#include "plan.h"

#include <NvInfer.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>
#include <unistd.h>

namespace {

std::string shape_text(std::string const &option, std::string const &name) {
    // name:1x3x4x4
    std::string const head = name + ":";
    if (option.compare(0, head.size(), head) != 0) {
        return "";
    }
    std::string sides = option.substr(head.size());
    for (char &letter : sides) {
        letter = letter == 'x' ? ' ' : letter;
    }
    return sides;
}

std::string read(std::string const &path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

int fail(std::string const &why) {
    std::cerr << "[E] " << why << std::endl;
    std::cout << "&&&& FAILED TensorRT.trtexec" << std::endl;
    return 1;
}

} // namespace

int main(int count, char **words) {
    std::string onnx, plan_file;
    std::map<std::string, std::string> shapes;
    for (int i = 1; i < count; ++i) {
        std::string const word = words[i];
        size_t const at = word.find('=');
        std::string const key = word.substr(0, at);
        std::string const value = at == std::string::npos ? "" : word.substr(at + 1);
        if (key == "--onnx") {
            onnx = value;
        } else if (key == "--saveEngine") {
            plan_file = value;
        } else if (key == "--minShapes" || key == "--optShapes" || key == "--maxShapes") {
            shapes[key] = value;
        } else if (key != "--stronglyTyped" && key != "--noTF32" && key != "--skipInference" && key != "--memPoolSize" &&
                   key != "--timingCacheFile") {
            return fail("unknown option " + word);
        }
    }
    // A real model that other engines shall run as well has its text beside it.
    std::string text = read(onnx + ".mock");
    if (text.empty()) {
        text = read(onnx);
    }
    mock::Plan plan;
    std::string const why = mock::parse(text, "weir-mock-onnx 1", &plan);
    if (!why.empty()) {
        return fail("cannot parse " + onnx + ": " + why);
    }
    std::string body = text.substr(std::strlen("weir-mock-onnx 1\n"));
    std::istringstream lines(body);
    for (std::string line; std::getline(lines, line);) {
        if (line.compare(0, 12, "build fails ") == 0) {
            return fail(line.substr(12));
        }
        if (line == "build hangs") {
            std::cout << "[I] Building engine" << std::endl;
            pause();
        }
        if (line.compare(0, 11, "build slow ") == 0) {
            int const seconds = std::atoi(line.c_str() + 11);
            for (int step = 0; step < seconds * 10; ++step) {
                std::cout << "[I] step " << step << std::endl;
                std::this_thread::sleep_for(std::chrono::milliseconds(100));
            }
        }
    }
    std::ofstream out(plan_file);
    out << "weir-mock-plan 1\nversion " << NV_TENSORRT_MAJOR * 10000 + NV_TENSORRT_MINOR * 100 + NV_TENSORRT_PATCH << "\n"
        << body;
    for (mock::Tensor const &tensor : plan.tensors) {
        if (tensor.input && !shapes.empty()) {
            out << "\nprofile " << tensor.name << " " << shape_text(shapes["--minShapes"], tensor.name) << " | "
                << shape_text(shapes["--optShapes"], tensor.name) << " | "
                << shape_text(shapes["--maxShapes"], tensor.name) << "\n";
        }
    }
    out.close();
    std::cout << "[I] Engine built in 0.1 sec.\n&&&& PASSED TensorRT.trtexec" << std::endl;
    return out ? 0 : 1;
}
